package console

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// Relay connects a container's terminal with the caller's standard streams, for a process in the
// foreground.
//
// If stdin is a terminal it is in raw mode from Attach to Finish: keys, including Ctrl-C, go to the
// container's terminal, which interprets them. The container's terminal gets the size of the
// caller's, at the start and at each SIGWINCH. For the end of stdin see endInput.
type Relay struct {
	fds  fds
	stop *wake // ends both copiers; that of the output first copies what is left

	before *unix.Termios  // the mode of stdin, nil when it was not made raw
	winch  chan os.Signal // nil when there is no terminal to follow
	finish sync.Once

	workers   sync.WaitGroup
	outputEnd chan struct{} // closed when the output has ended
	outputErr error         // valid after that
}

// fds are the descriptors of the files, read once, since os.File.Fd makes a file blocking; -1 for
// none.
type fds struct {
	master, stdin, stdout int
	size                  int // the caller's terminal
}

// Attach starts to relay between the terminal with this master and stdin and stdout, each of which
// may be nil. The caller owns the files, keeps them open until Finish, and meanwhile uses the
// master only to set its size. The master becomes non-blocking, and stays so. After a nil error the
// caller must call Finish, on every path.
func Attach(master, stdin, stdout *os.File) (_ *Relay, err error) {
	r := &Relay{
		fds:       fds{master: int(master.Fd()), stdin: -1, stdout: -1, size: -1},
		outputEnd: make(chan struct{}),
	}
	if stdin != nil {
		r.fds.stdin = int(stdin.Fd())
	}
	if stdout != nil {
		r.fds.stdout = int(stdout.Fd())
	}
	if err := unix.SetNonblock(r.fds.master, true); err != nil {
		return nil, fmt.Errorf("attach terminal: %w", err)
	}
	if r.stop, err = newWake(); err != nil {
		return nil, fmt.Errorf("attach terminal: %w", err)
	}
	if stdin != nil && IsTerminal(stdin) {
		if r.before, err = makeRaw(r.fds.stdin, stdout != nil && IsTerminal(stdout)); err != nil {
			r.stop.close()
			return nil, fmt.Errorf("set terminal to raw mode: %w", err)
		}
		r.fds.size = r.fds.stdin
	} else if stdout != nil && IsTerminal(stdout) {
		r.fds.size = r.fds.stdout
	}
	if r.fds.size >= 0 {
		r.followSize()
	}
	r.workers.Add(1)
	go r.copyOutput()
	if stdin != nil {
		r.workers.Add(1)
		go r.copyInput()
	}
	return r, nil
}

// followSize copies the size of the caller's terminal to the container's now and at each change.
func (r *Relay) followSize() {
	r.winch = make(chan os.Signal, 1)
	signal.Notify(r.winch, unix.SIGWINCH)
	r.Resize()
	r.workers.Add(1)
	go func() {
		defer r.workers.Done()
		for range r.winch {
			r.Resize()
		}
	}()
}

// Resize copies the size of the caller's terminal to the container's, as happens at each SIGWINCH.
// A missing terminal is no error, because the size is not essential.
func (r *Relay) Resize() {
	if r.fds.size < 0 {
		return
	}
	// A size of 0 is unknown, as on a serial line: the container's own is better.
	if s, err := unix.IoctlGetWinsize(r.fds.size, unix.TIOCGWINSZ); err == nil && s.Row != 0 && s.Col != 0 {
		_ = unix.IoctlSetWinsize(r.fds.master, unix.TIOCSWINSZ, s)
	}
}

// Done is closed when the terminal has no more output, since no process has it open any more.
func (r *Relay) Done() <-chan struct{} { return r.outputEnd }

// Finish ends the relay once the process has exited: it copies the rest of the output, restores the
// mode of the caller's terminal, and returns the error that stopped the output, if any. It does not
// wait for other processes that still have the terminal open. Further calls do nothing.
func (r *Relay) Finish() error {
	r.finish.Do(func() {
		r.stop.set()
		<-r.outputEnd
		if r.winch != nil {
			signal.Stop(r.winch)
			close(r.winch)
		}
		r.workers.Wait()
		r.stop.close()
		r.restoreMode()
	})
	return r.outputErr
}

func (r *Relay) restoreMode() {
	if r.before != nil {
		_ = unix.IoctlSetTermios(r.fds.stdin, unix.TCSETS, r.before)
	}
}

// copyOutput copies from the master to stdout until the terminal ends, or the relay is stopped and
// no output is left.
func (r *Relay) copyOutput() {
	defer r.workers.Done()
	defer close(r.outputEnd)
	buf := make([]byte, 32<<10)
	for {
		n, err := sys.Retry(func() (int, error) { return unix.Read(r.fds.master, buf) })
		switch {
		case n > 0:
			// It continues to read when stdout has failed, because a process must not block for a
			// reader that has left.
			if err := r.write(buf[:n]); err != nil && r.outputErr == nil {
				r.outputErr = fmt.Errorf("write terminal output: %w", err)
				r.fds.stdout = -1
			}
		case err == unix.EAGAIN:
			// The kernel only reports this when everything written to the terminal has arrived
			// (n_tty_read flushes its buffers first, since Linux 4.5): once the process has exited,
			// this is all of its output.
			if r.stop.isSet() {
				return
			}
			if _, err := pollFor(r.fds.master, unix.POLLIN, r.stop); err != nil {
				if r.outputErr == nil {
					r.outputErr = err
				}
				return
			}
		case err == nil, err == unix.EIO:
			return // the last process has closed the terminal
		default:
			if r.outputErr == nil {
				r.outputErr = fmt.Errorf("read terminal: %w", err)
			}
			return
		}
	}
}

// write writes to stdout, which may be non-blocking because it is shared with others.
func (r *Relay) write(b []byte) error {
	for len(b) > 0 && r.fds.stdout >= 0 {
		n, err := sys.Retry(func() (int, error) { return unix.Write(r.fds.stdout, b) })
		if err == unix.EAGAIN {
			if _, err := pollFor(r.fds.stdout, unix.POLLOUT, nil); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// copyInput copies from stdin to the master until stdin or the terminal ends or the relay is
// stopped.
func (r *Relay) copyInput() {
	defer r.workers.Done()
	buf := make([]byte, 4<<10)
	whole := true // the last line is complete
	for {
		if ready, err := pollFor(r.fds.stdin, unix.POLLIN, r.stop); !ready || err != nil {
			return
		}
		n, err := sys.Retry(func() (int, error) { return unix.Read(r.fds.stdin, buf) })
		if err == unix.EAGAIN {
			continue
		}
		if err != nil || n <= 0 {
			r.endInput(whole)
			return
		}
		whole = buf[n-1] == '\n'
		for b := buf[:n]; len(b) > 0; {
			n, err := sys.Retry(func() (int, error) { return unix.Write(r.fds.master, b) })
			switch {
			case err == unix.EAGAIN:
				// The container does not read the input.
				if ready, err := pollFor(r.fds.master, unix.POLLOUT, r.stop); !ready || err != nil {
					return
				}
			case err != nil:
				return
			default:
				b = b[n:]
			}
		}
	}
}

// endInput signals the end of the input to the programs at the terminal, as a user does by Ctrl-D,
// because a terminal has no other way short of a hangup. The first character only ends an
// incomplete line, the next one the input. A program that sets the terminal's mode may discard
// unread input, and a later program reads for itself, so the character is sent again as long as the
// relay lasts.
func (r *Relay) endInput(whole bool) {
	for again := !whole; ; again = false {
		mode, err := unix.IoctlGetTermios(r.fds.master, unix.TCGETS)
		if err != nil {
			return
		}
		// 0 turns the character off (_POSIX_VDISABLE).
		if end := mode.Cc[unix.VEOF]; end != 0 {
			// EAGAIN means that nobody has read the existing input.
			if _, err := sys.Retry(func() (int, error) { return unix.Write(r.fds.master, []byte{end}) }); err != nil && err != unix.EAGAIN {
				return
			}
		}
		if again {
			continue
		}
		if stopped, err := r.stop.within(endAgain); stopped || err != nil {
			return
		}
	}
}

// endAgain is the interval at which the end of the input is repeated.
const endAgain = time.Second
