package cli

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/signals"
)

func subreaperFlag() cli.Flag {
	return &cli.BoolFlag{Name: "no-subreaper", Usage: "do not adopt processes that lose their parent"}
}

// foreground runs a process that the command waits for.
type foreground struct {
	program *program
	reaper  bool
}

func newForeground(p *program, reaper bool) *foreground {
	return &foreground{program: p, reaper: reaper}
}

// ready prepares for signals. It is called before the process starts, so that no signal is lost.
func (f *foreground) ready() error {
	if err := signals.Hold(forwarded()...); err != nil {
		return err
	}
	if !f.reaper {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	return nil
}

// sizeTerminal sets the size of the process's terminal to that of the caller's, before the process
// starts.
func (p *program) sizeTerminal(process *specs.Process) {
	if !process.Terminal {
		return
	}
	for _, f := range []*os.File{p.stdin, p.stdout} {
		if s, err := console.GetSize(f); err == nil && s.Row != 0 && s.Col != 0 {
			process.ConsoleSize = &specs.Box{Height: uint(s.Row), Width: uint(s.Col)}
			return
		}
	}
}

// forwarded returns the signals that are forwarded to the process: all except
//   - SIGCHLD, which reports the process itself;
//   - SIGURG, by which Go's scheduler preempts threads, and SIGPIPE, which is for the writer;
//   - SIGWINCH, SIGTTIN and SIGTTOU, which are about our terminal: see console.Relay;
//   - those that cannot be caught, and those that report a fault of our own.
func forwarded() []unix.Signal {
	list := make([]unix.Signal, 0, 64)
	for s := unix.Signal(1); s <= 64; s++ {
		switch s {
		case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGWINCH, unix.SIGTTIN, unix.SIGTTOU, unix.SIGKILL, unix.SIGSTOP,
			unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGPROF,
			32, 33: // the C library's own
		default:
			list = append(list, s)
		}
	}
	return list
}

// wait relays signals and the terminal until the process exits, and returns its exit status. It
// leaves the pidfd open for late signals.
func (f *foreground) wait(process *libcontainer.Process) (status int, err error) {
	p := f.program
	if master := process.Console(); master != nil {
		defer master.Close()
		relay, err := console.Attach(master, p.stdin, p.stdout)
		if err != nil {
			// Nobody could see or end the process.
			_ = process.Signal(unix.SIGKILL)
			_, _ = f.reap(process)
			return 0, err
		}
		defer func() {
			// The exit status counts even if the last output could not be written.
			if err := relay.Finish(); err != nil {
				p.log.warn(err.Error())
			}
		}()
	}
	// The handlers stay: a signal during the deletion of the container would leave half of it.
	signals.PassTo(process.Pidfd())
	return f.reap(process)
}

func (f *foreground) reap(process *libcontainer.Process) (int, error) {
	if f.reaper {
		return process.WaitReaping()
	}
	return process.Wait()
}
