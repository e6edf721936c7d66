package launch

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// errFiltered says that a process's seccomp filter kept it from executing its program.
var errFiltered = &specconv.FieldError{Path: "linux.seccomp", Err: errors.New("the process ended before it executed its program, and the filter kept it from saying why")}

// Executed checks that a process that closed its channel has executed its program. A process that
// its filter kills, or keeps from writing, ends without a message. The error is then errFiltered.
func Executed(pid int, pidfd *os.File) error {
	if _, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); err == nil || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
		return nil
	}
	// The process is ending or has ended, perhaps after it executed its program.
	if err := AwaitEnd(pidfd, pid, time.Now().Add(EndLimit)); err != nil {
		return err
	}
	p, err := sys.Stat(pid)
	if errors.Is(err, sys.ErrNoProcess) {
		return executedReaped(pidfd)
	}
	if err != nil {
		return err
	}
	// The runtime's image was executed through a file descriptor, whose number became its name.
	if _, err := strconv.Atoi(p.Name); err == nil {
		return errFiltered
	}
	return nil
}

// executedReaped is Executed for a process that its parent has reaped. It uses the exit status: the
// image exits with nsenter.ExitFailed after an operation failed. A program that the filter killed
// cannot be distinguished from a killed image.
func executedReaped(pidfd *os.File) error {
	status, known := reapedStatus(pidfd)
	if known && (status.Exited() && status.ExitStatus() == nsenter.ExitFailed || status.Signaled() && status.Signal() == unix.SIGTRAP) {
		return errFiltered
	}
	return nil
}

// reapedStatus returns the status of a process that was reaped while the pidfd was open. The kernel
// provides it since Linux 6.15.
func reapedStatus(pidfd *os.File) (unix.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := unix.IoctlPidfdInfo(int(pidfd.Fd()), &info)
	return unix.WaitStatus(info.Exit_code), err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0
}
