package host

import (
	"errors"
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// errUnknown says that the caller has no right to find out.
var errUnknown = errors.New("cannot be found out without more rights")

// feature tries to use a kernel feature.
func (a *asking) feature(n needs.Need) error {
	try := featureProbe(n.Name)
	if try == nil {
		return fmt.Errorf("kernel feature %q: no probe", n.Name)
	}
	err := try()
	f := needs.FeatureNamed(n.Name)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return &Lack{Text: fmt.Sprintf("the kernel has no %s, for %s, or something blocks it", f.Name, f.For), Since: f.Since}
	case errors.Is(err, unix.EPERM):
		return errUnknown
	}
	return err
}

// featureProbe returns a function that tries a kernel feature without changing anything. ENOSYS and
// EINVAL are the answers of a kernel that lacks it.
func featureProbe(name string) func() error {
	switch name {
	case "clone3 into cgroup":
		return tryCloneIntoCgroup
	case "close_range":
		// No file descriptor has this number.
		return func() error { return unix.CloseRange(math.MaxUint32, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) }
	case "faccessat2":
		return func() error { return unix.Faccessat2(unix.AT_FDCWD, "/", unix.X_OK, unix.AT_EACCESS) }
	case "idmapped mounts":
		return func() error { return tryAttributes(unix.MOUNT_ATTR_IDMAP) }
	case "keyrings":
		return func() error {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
			return notAbsent(err)
		}
	case "memfd":
		return tryMemfd
	case "mount API":
		return func() error { _, err := unix.OpenTree(nowhere, "", unix.AT_EMPTY_PATH); return notAbsent(err) }
	case "mount_setattr":
		return func() error { return notAbsent(tryAttributes(unix.MOUNT_ATTR_RDONLY)) }
	case "nosymfollow":
		return func() error { return tryAttributes(unix.MOUNT_ATTR_NOSYMFOLLOW) }
	case "openat2":
		return tryOpenat2
	case "pidfd":
		return tryPidfd
	case "set_mempolicy":
		return tryMempolicy
	case "setns by pidfd":
		return trySetnsPidfd
	}
	return nil
}

// nowhere is a file descriptor that does not exist.
const nowhere = math.MaxInt32

// notBad ignores the errors of a call that exists and was given no object.
func notBad(err error) error {
	if errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// notAbsent ignores all errors except that of a call that does not exist.
func notAbsent(err error) error {
	if errors.Is(err, unix.ENOSYS) {
		return err
	}
	return nil
}

// tryAttributes sets an attribute of no mount. The kernel checks first whether the caller may
// mount, then the attribute, and only then the mount.
func tryAttributes(attribute uint64) error {
	attr := unix.MountAttr{Attr_set: attribute}
	if attribute == unix.MOUNT_ATTR_IDMAP {
		attr.Userns_fd = nowhere
	}
	return notBad(unix.MountSetattr(nowhere, "", unix.AT_EMPTY_PATH, &attr))
}

// tryMempolicy reads the caller's memory policy.
func tryMempolicy() error {
	if _, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, 0, 0, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// tryMemfd creates an executable file in memory, as the runtime does for its processes.
func tryMemfd() error {
	fd, err := unix.MemfdCreate("orlop", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // MFD_EXEC: since Linux 6.3
		fd, err = unix.MemfdCreate("orlop", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if errors.Is(err, unix.EACCES) {
		return lacks("the sysctl vm.memfd_noexec forbids executable files in memory")
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func tryOpenat2() error {
	root, err := sys.Open("/", unix.O_PATH)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := sys.OpenInRoot(root, ".", unix.O_PATH)
	if err == nil {
		f.Close()
	}
	return err
}

func tryPidfd() error {
	f, err := sys.OpenPidfd(os.Getpid())
	if err == nil {
		f.Close()
	}
	return err
}

// trySetnsPidfd joins the caller's own UTS namespace, which changes nothing or fails with EPERM. An
// invalid flag would tell nothing: kernels with and without setns by pidfd answer it with EINVAL.
func trySetnsPidfd() error {
	f, err := sys.OpenPidfd(os.Getpid())
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.Setns(int(f.Fd()), unix.CLONE_NEWUTS)
	if errors.Is(err, unix.EPERM) {
		return nil // the kernel understood the call
	}
	return err
}

// tryCloneIntoCgroup clones nothing: the file descriptor is not open, and the kernel notices before
// it creates a process.
func tryCloneIntoCgroup() error {
	args := sys.CloneArgs{Flags: unix.CLONE_INTO_CGROUP, ExitSignal: uint64(unix.SIGCHLD), Cgroup: nowhere}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	return notBad(errno)
}
