package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// checkDestination refuses a mount point in a procfs, to which links of the image have led.
func (b *birth) checkDestination(m nsenter.Message) error {
	if m.File == nil {
		return &specconv.FieldError{Path: "mounts", Err: errors.New("the process sent no descriptor")}
	}
	defer m.File.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(m.File.Fd()), &st); err != nil {
		return &specconv.FieldError{Path: "mounts", Err: fmt.Errorf("statfs: %w", err)}
	}
	if st.Type == unix.PROC_SUPER_MAGIC {
		return b.plan.DestinationError(m.Value)
	}
	return nil
}

// takeMaster hands the terminal's master to who asked for it.
func (b *birth) takeMaster(f *os.File) error {
	if f == nil {
		return errors.New("console: the process sent no descriptor")
	}
	if b.streams.ConsoleSocket == "" {
		b.master = f
		return nil
	}
	defer f.Close()
	name, err := console.SlaveName(f)
	if err != nil {
		return err
	}
	return console.Send(b.streams.ConsoleSocket, name, f)
}

// tellPid tells the process its own number.
func (b *birth) tellPid() error {
	pid, err := sys.InnerPid(b.proc.Pid)
	if err != nil {
		return err
	}
	return b.proc.Conn.Answer([]byte(strconv.Itoa(pid)))
}

// tellHome tells the process the home of its user.
func (b *birth) tellHome(m nsenter.Message) error {
	if m.File == nil {
		return errors.New("HOME: the process sent no descriptor")
	}
	defer m.File.Close()
	home, err := homeOf(m.File, m.Value)
	if err != nil {
		return err
	}
	return b.proc.Conn.Answer([]byte(home))
}

// schedule gives the process its scheduling attributes, which it may not set itself in a user namespace.
func (b *birth) schedule() error {
	s := b.plan.Scheduler()
	if s == nil {
		return &specconv.FieldError{Path: "process.scheduler", Err: errors.New("the process asks for what the plan does not have")}
	}
	errno := unix.Errno(0)
	if nice, apart := setup.NiceApart(s); apart {
		if err := unix.Setpriority(unix.PRIO_PROCESS, b.proc.Pid, int(nice)); errors.As(err, &errno) {
			return b.plan.SchedulerError("setpriority", errno)
		}
	}
	if err := unix.SchedSetAttr(b.proc.Pid, setup.SchedAttr(s), 0); errors.As(err, &errno) {
		return b.plan.SchedulerError("sched_setattr", errno)
	}
	return nil
}
