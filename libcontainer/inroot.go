package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// errNotPlain says that something is not a file which can be read without a wait and without an effect.
var errNotPlain = errors.New("not a plain file")

// errLeased says that a process has a lease on a file (F_SETLEASE of fcntl(2)): it could delay an opening that waits by 45 s.
var errLeased = errors.New("a process has a lease on it")

// openPlainInRoot opens a file below a hostile root for reading: see openPlain.
func openPlainInRoot(root *os.File, path string) (*os.File, error) {
	f, err := sys.OpenInRoot(root, path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return openPlain(f)
}

// pseudoFilesystems are those whose files look regular, but whose reading can wait (trace_pipe of tracefs), take something away from
// the host (kmsg of procfs), or give what only the runtime may see.
var pseudoFilesystems = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.SELINUX_MAGIC,
	unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.RDTGROUP_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.PSTOREFS_MAGIC,
	unix.EFIVARFS_MAGIC, unix.BINFMTFS_MAGIC, unix.NSFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, mqueueMagic,
}

const mqueueMagic = 0x19800202 // MQUEUE_MAGIC of ipc/mqueue.c

// openPlain opens for reading what an O_PATH descriptor stands for, if that is a regular file of a file system that stores files. A
// FIFO, a device or a file of procfs is errNotPlain, and so is a file under a lease.
func openPlain(f *os.File) (*os.File, error) {
	fail := func(why string) error { return fmt.Errorf("open %s: %w: %s", f.Name(), errNotPlain, why) }
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fail(info.Mode().Type().String())
	}
	var fs unix.Statfs_t
	if err := sys.RetryErr(func() error { return unix.Fstatfs(int(f.Fd()), &fs) }); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	if slices.Contains(pseudoFilesystems, int64(fs.Type)) {
		return nil, fail(fmt.Sprintf("file system %#x", fs.Type))
	}
	plain, err := sys.Reopen(f, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.EAGAIN) {
		return nil, fail(errLeased.Error())
	}
	return plain, err
}
