package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Mount is one entry of mounts, its options parsed.
type Mount struct {
	// Index is the entry's place in Spec.Mounts: errors name mounts[Index].
	Index int
	// Destination is the path inside the container, absolute and cleaned.
	Destination string
	// Type is the file system's type, "bind" for every bind mount.
	Type string
	// Source is an absolute path for a bind mount (a relative one is taken from the bundle's folder), and as given otherwise.
	Source string
	// Bind is set for bind and rbind, Recursive for rbind.
	Bind, Recursive bool
	// Remount asks to change the mount that is already on Destination instead of making a new one.
	Remount bool

	// AttrSet and AttrClear are the unix.MOUNT_ATTR_* for the mount itself. When an access time mode is set, AttrClear
	// holds MOUNT_ATTR__ATIME and AttrSet the mode (whose value may be MOUNT_ATTR_RELATIME, which is 0).
	AttrSet, AttrClear uint64
	// RecAttrSet and RecAttrClear are those for the mount and all below it: mount_setattr with AT_RECURSIVE.
	RecAttrSet, RecAttrClear uint64
	// Exact is set when an option names an attribute or a flag: a bind mount has then no attributes but those that are named, whatever
	// its source has. AtimeNamed is set when one names an access time mode or nodiratime; otherwise these stay the source's.
	Exact, AtimeNamed bool
	// Propagation is MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, with MS_REC for the recursive ones; 0 when none is given.
	Propagation uint64
	// SuperFlags are flags of the file system itself that are set, in fsconfig's spelling ("ro", "sync", "dirsync", "mand",
	// "lazytime", ...). "ro" is in AttrSet as MOUNT_ATTR_RDONLY too.
	SuperFlags []string
	// Data are the file system's own options as given, "mode=755".
	Data []string
	// CopySymlink asks for a link like the source in place of a mount, if that is a symbolic link. SourceNoFollow and DestinationNoFollow
	// ask not to follow one that the source or the destination is.
	CopySymlink, SourceNoFollow, DestinationNoFollow bool
	// TmpCopyUp asks to copy what the image has at Destination into the new tmpfs.
	TmpCopyUp bool
	// IDMap is set for an id-mapped mount.
	IDMap *MountIDMap
}

// MountIDMap says how an id-mapped mount shows the ids of its file system.
type MountIDMap struct {
	// UIDs and GIDs are empty for the maps of the container's user namespace.
	UIDs, GIDs []specs.LinuxIDMapping
	// Recursive is set when all mounts below it are mapped, too.
	Recursive bool
}
