package launch

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

// Handlers serve requests that need more than this package. A plan without the message needs no
// handler.
type Handlers struct {
	// Hooks runs the hooks between the mounts and the change of the root (setup.MessageHooks).
	Hooks func() error
	// EnterCgroup puts the process into its cgroup (setup.MessageCgroup).
	EnterCgroup func(pid int) error
	// MoveNetDevices moves network devices into its network namespace (setup.MessageNetDevices).
	MoveNetDevices func() error
	// Listener forwards the listener of its seccomp filter, and closes it (setup.MessageSeccomp).
	Listener func(listener *os.File) error
	// CopyUp fills a tmpfs for a step of the plan (setup.MessageCopyTo).
	CopyUp func(from, to *os.File, step uint32) error
	// ChildTookOver is called when a child has replaced the process, before the child is served. It
	// may be nil.
	ChildTookOver func() error
}

// serve handles a message, and lets the process continue if it waits.
func (p *Process) serve(m nsenter.Message) error {
	var err error
	switch m.ID {
	case setup.MessageHooks:
		err = p.Handlers.Hooks()
	case setup.MessageCgroup:
		err = p.EnterCgroup(p.proc.Pid)
	case setup.MessageNetDevices:
		err = p.MoveNetDevices()
	case setup.MessageSeccomp:
		err = p.Listener(m.File)
	case setup.MessageDestination:
		err = p.checkDestination(m)
	case setup.MessageIDMap:
		err = p.mapMount(m)
	case setup.MessageScheduler:
		err = p.setScheduler()
	case setup.MessageCopyTo:
		err = p.CopyUp(p.copied, m.File, m.Value)
		p.copied.Close()
		m.File.Close()
		p.copied = nil
	case setup.MessageCopyFrom: // MessageCopyTo follows
		p.copied = m.File
		return nil
	case setup.MessageConsole: // it does not wait for an answer
		return p.takeMaster(m.File)
	case setup.MessageMissing:
		return p.answerMissing(m)
	case setup.MessagePid:
		return p.answerPid()
	case setup.MessageHome:
		return p.answerHome(m)
	default:
		return unexpected(m)
	}
	if err != nil {
		return err
	}
	return p.Resume()
}

// errNoFile rejects a message without its file descriptor.
var errNoFile = errors.New("the process sent no file descriptor")

// checkDestination rejects a mount point in a procfs, to which symlinks of the image have led.
func (p *Process) checkDestination(m nsenter.Message) error {
	if m.File == nil {
		return &specconv.FieldError{Path: "mounts", Err: errNoFile}
	}
	defer m.File.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(m.File.Fd()), &st); err != nil {
		return &specconv.FieldError{Path: "mounts", Err: fmt.Errorf("statfs: %w", err)}
	}
	if st.Type == unix.PROC_SUPER_MAGIC {
		return p.plan.DestinationError(m.Value)
	}
	return nil
}

// takeMaster sends the terminal's master to the console socket, or keeps it for the caller.
func (p *Process) takeMaster(f *os.File) error {
	if f == nil {
		return fmt.Errorf("console: %w", errNoFile)
	}
	if p.Streams.ConsoleSocket == "" {
		p.master = f
		return nil
	}
	defer f.Close()
	name, err := console.SlaveName(f)
	if err != nil {
		return err
	}
	return console.Send(p.Streams.ConsoleSocket, name, f)
}

// answerPid sends the process its PID in its own PID namespace.
func (p *Process) answerPid() error {
	pid, err := sys.InnerPid(p.proc.Pid)
	if err != nil {
		return err
	}
	return p.proc.Conn.Answer([]byte(strconv.Itoa(pid)))
}

// answerHome sends the process the home directory of its user.
func (p *Process) answerHome(m nsenter.Message) error {
	if m.File == nil {
		return fmt.Errorf("HOME: %w", errNoFile)
	}
	defer m.File.Close()
	home, err := homeOf(m.File, m.Value)
	if err != nil {
		return err
	}
	return p.proc.Conn.Answer([]byte(home))
}

// setScheduler sets the scheduling attributes, which a process in a user namespace may not set
// itself.
func (p *Process) setScheduler() error {
	s := p.plan.Scheduler()
	if s == nil {
		return &specconv.FieldError{Path: "process.scheduler", Err: errors.New("the process asks for a scheduler that the plan does not have")}
	}
	errno := unix.Errno(0)
	if nice, separate := setup.SeparateNice(s); separate {
		if err := unix.Setpriority(unix.PRIO_PROCESS, p.proc.Pid, int(nice)); errors.As(err, &errno) {
			return p.plan.SchedulerError("setpriority", errno)
		}
	}
	if err := unix.SchedSetAttr(p.proc.Pid, setup.SchedAttr(s), 0); errors.As(err, &errno) {
		return p.plan.SchedulerError("sched_setattr", errno)
	}
	return nil
}
