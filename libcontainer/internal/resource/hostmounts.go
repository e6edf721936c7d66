package resource

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
)

// HostMounts are the mounts of a container that has mounts or a read-only root, but no mount
// namespace of its own. A copy of the root filesystem's mount lies on top of it, in the runtime's
// mount namespace. All mounts of the container lie on that copy and are removed with it. The copy
// is a slave mount: it does not propagate them to namespaces that share mounts with the runtime's,
// which have an empty copy meanwhile.
type HostMounts struct {
	entry  *Entry
	rootfs string // "" for no mounts
}

// NewHostMounts returns the mounts for a bundle.
func NewHostMounts(e *Entry, b *specconv.Bundle) *HostMounts {
	readOnly := b.Spec.Root != nil && b.Spec.Root.Readonly
	if _, ok := b.Namespace(specs.MountNamespace); ok || len(b.Mounts) == 0 && !readOnly {
		return &HostMounts{}
	}
	return &HostMounts{e, b.Rootfs}
}

// Record implements Resource. Prepare records the mount when it has an id, before it attaches it.
func (h *HostMounts) Record(*state.Record) error { return nil }

// Prepare implements Resource.
func (h *HostMounts) Prepare() error {
	if h.rootfs == "" {
		return nil
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, h.rootfs, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return &specconv.FieldError{Path: "root.path", Err: fmt.Errorf("bind %s: %w", h.rootfs, err)}
	}
	defer unix.Close(tree)
	if h.entry.Rec.RootMount, err = mountID(tree); err != nil {
		return &specconv.FieldError{Path: "root.path", Err: fmt.Errorf("identify the bind mount of %s: %w", h.rootfs, err)}
	}
	if err := h.entry.Write(); err != nil {
		return err
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, h.rootfs, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &specconv.FieldError{Path: "root.path", Err: fmt.Errorf("bind %s: %w", h.rootfs, err)}
	}
	// After the move: moving a mount below a shared mount makes it shared.
	slave := unix.MountAttr{Propagation: unix.MS_SLAVE}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &slave); err != nil {
		return &specconv.FieldError{Path: "root.path", Err: fmt.Errorf("make the bind mount of %s a slave: %w", h.rootfs, err)}
	}
	return nil
}

// Undo implements Resource.
func (h *HostMounts) Undo() error {
	if h.rootfs == "" {
		return nil
	}
	return RemoveHostMounts(h.entry.Rec)
}

// RemoveHostMounts detaches the mounts of a container, if they are attached in this mount
// namespace. It is an error if another mount lies on them, which would be detached as well.
func RemoveHostMounts(rec *state.Record) error {
	path, mount := rec.Rootfs, rec.RootMount
	if mount == 0 {
		return nil
	}
	dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(dir)
	if id, err := mountID(dir); err != nil {
		return &specconv.FieldError{Path: "root.path", Err: fmt.Errorf("identify the mount of %s: %w", path, err)}
	} else if id != mount {
		if mounted(mount) {
			return &specconv.FieldError{Path: "root.path", Err: fmt.Errorf("another mount lies on those of the container, on %s: %w", path, unix.EBUSY)}
		}
		return nil
	}
	// The path may lead elsewhere by now; the file descriptor cannot.
	if err := unix.Unmount(sys.FdPath(dir), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// mountID returns the id of a file descriptor's mount. Since Linux 6.8 the id is never reused;
// before, it is unique only as long as the mount exists.
func mountID(fd int) (uint64, error) {
	var s unix.Statx_t
	const unique, reused = unix.STATX_MNT_ID_UNIQUE, unix.STATX_MNT_ID
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unique|reused, &s); err != nil {
		return 0, err
	}
	return s.Mnt_id, nil
}

// mounted reports whether the caller's mount namespace has the mount with this id.
func mounted(id uint64) bool {
	var basic [64]uint64 // struct statmount, whose content is not needed
	request := mountRequest{size: uint32(unsafe.Sizeof(mountRequest{})), id: id, param: statmountBasic}
	_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&request)), uintptr(unsafe.Pointer(&basic)), unsafe.Sizeof(basic), 0, 0, 0)
	switch errno {
	case 0, unix.ENOENT:
		return errno == 0
	case unix.ENOSYS:
	default:
		return true // unknown
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo") // has the ids that kernels before 6.8 use
	return err == nil && strings.Contains("\n"+string(mounts), "\n"+strconv.FormatUint(id, 10)+" ")
}

// statmountBasic is STATMOUNT_SB_BASIC.
const statmountBasic = 1

// mountRequest is the kernel's struct mnt_id_req as of Linux 6.8.
type mountRequest struct {
	size, spare uint32
	id, param   uint64
}
