package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Mount is one entry of mounts with parsed options.
type Mount struct {
	// Index is the entry's index in Spec.Mounts: errors name mounts[Index].
	Index int
	// Destination is the path inside the container, absolute and cleaned.
	Destination string
	// Type is the filesystem type, "bind" for every bind mount.
	Type string
	// Source is an absolute path for a bind mount (a relative one starts at the bundle directory),
	// and otherwise as given.
	Source string
	// Bind is set for bind and rbind, Recursive for rbind.
	Bind, Recursive bool
	// Remount changes the mount that is already on Destination instead of creating a new one.
	Remount bool

	// AttrSet and AttrClear are the unix.MOUNT_ATTR_* for the mount itself. When an access time mode
	// is set, AttrClear holds MOUNT_ATTR__ATIME and AttrSet the mode, which may be
	// MOUNT_ATTR_RELATIME, 0.
	AttrSet, AttrClear uint64
	// RecAttrSet and RecAttrClear are those for the mount and all mounts below it: mount_setattr
	// with AT_RECURSIVE.
	RecAttrSet, RecAttrClear uint64
	// Exact is set when an option names an attribute or a flag: a bind mount then has only the named
	// attributes, whatever its source has. AtimeNamed is set when an option names an access time mode
	// or nodiratime; otherwise these stay the source's.
	Exact, AtimeNamed bool
	// Propagation is MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, with MS_REC for the recursive
	// modes; 0 when none is given.
	Propagation uint64
	// SuperFlags are the set flags of the filesystem itself, in fsconfig's spelling ("ro", "sync",
	// "dirsync", "mand", "lazytime", ...). "ro" is also in AttrSet, as MOUNT_ATTR_RDONLY.
	SuperFlags []string
	// Data are the filesystem-specific options as given, such as "mode=755".
	Data []string
	// CopySymlink creates a copy of a source that is a symlink instead of mounting it. SourceNoFollow
	// and DestinationNoFollow do not follow a source or destination that is a symlink.
	CopySymlink, SourceNoFollow, DestinationNoFollow bool
	// TmpCopyUp copies what the image has at Destination into the new tmpfs.
	TmpCopyUp bool
	// IDMap is set for an id-mapped mount.
	IDMap *MountIDMap
}

// MountIDMap says how an id-mapped mount shows the ids of its filesystem.
type MountIDMap struct {
	// UIDs and GIDs are empty if the maps are those of the container's user namespace.
	UIDs, GIDs []specs.LinuxIDMapping
	// Recursive is set when all mounts below it are id-mapped, too.
	Recursive bool
}
