package sys

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrNotPlain says that reading a file could block or have side effects.
var ErrNotPlain = errors.New("not a plain file")

// ErrLeased says that a process holds a lease on a file (F_SETLEASE of fcntl(2)), which could delay
// opening it by 45 s.
var ErrLeased = errors.New("a process has a lease on it")

// OpenPlainInRoot opens a file below a directory with hostile content for reading, if it is a
// regular file of a filesystem that stores files. The error is ErrNotPlain for a FIFO, a device, a
// file of procfs, or a file under a lease.
func OpenPlainInRoot(root *os.File, path string) (*os.File, error) {
	f, err := OpenInRoot(root, path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fail := func(why string) error { return fmt.Errorf("open %s: %w: %s", f.Name(), ErrNotPlain, why) }
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fail(info.Mode().Type().String())
	}
	var fs unix.Statfs_t
	if err := RetryErr(func() error { return unix.Fstatfs(int(f.Fd()), &fs) }); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	if slices.Contains(pseudoFilesystems, int64(fs.Type)) {
		return nil, fail(fmt.Sprintf("filesystem %#x", fs.Type))
	}
	plain, err := Reopen(f, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.EAGAIN) {
		return nil, fail(ErrLeased.Error())
	}
	return plain, err
}

// pseudoFilesystems have files that look regular, but reading them can block (trace_pipe of
// tracefs), consume data of the host (kmsg of procfs), or return what only the runtime may see.
var pseudoFilesystems = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.SELINUX_MAGIC,
	unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.RDTGROUP_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.PSTOREFS_MAGIC,
	unix.EFIVARFS_MAGIC, unix.BINFMTFS_MAGIC, unix.NSFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, mqueueMagic,
}

const mqueueMagic = 0x19800202 // MQUEUE_MAGIC of ipc/mqueue.c
