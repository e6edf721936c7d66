package launch

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
)

// received is a message from the process, or its failure.
type received struct {
	nsenter.Message
	err error
}

// Converse serves the process until it sends a message, or, when until is 0, until it has executed
// its program.
func (p *Process) Converse(until int) error {
	if !p.madeWay && p.plan.ClonesLast() {
		if err := p.serveUntilChild(); err != nil {
			return err
		}
	}
	for {
		m, err := p.next()
		if err == io.EOF && until == 0 {
			if p.plan.Mute() {
				return Executed(p.proc.Pid, p.proc.Pidfd)
			}
			return nil
		}
		if err != nil {
			return p.explain(err)
		}
		if err := p.checkSaid(m); err != nil {
			return err
		}
		if m.ID == until {
			return nil
		}
		if err := p.serve(m); err != nil {
			return err
		}
	}
}

// serveUntilChild serves a process until a child replaces it, in a PID namespace where a tracer may
// take over the child. Until the first process has named its child, only its own messages count;
// after that, only those that the child may send: see checkSaid.
func (p *Process) serveUntilChild() error {
	for {
		m, err := p.receive()
		switch {
		case m.Sender != 0 && m.Sender != p.proc.Pid:
			p.early = append(p.early, received{m, err})
		case err != nil:
			return p.explain(err)
		case m.ID == setup.MessageChild:
			if err := p.followChild(int(m.Value)); err != nil {
				return err
			}
			if p.Handlers.ChildTookOver != nil {
				if err := p.Handlers.ChildTookOver(); err != nil {
					return err
				}
			}
			return p.serveWaiting()
		case m.ID == setup.MessageConsole, m.ID == setup.MessageSeccomp: // their files go to others, together with the child's PID
			p.waiting = append(p.waiting, m)
		default:
			if err := p.serve(m); err != nil {
				return err
			}
		}
	}
}

func (p *Process) serveWaiting() error {
	for len(p.waiting) > 0 {
		m := p.waiting[0]
		p.waiting = p.waiting[1:]
		if err := p.serve(m); err != nil {
			return err
		}
	}
	return nil
}

// checkSaid rejects a message that a child in a shared PID namespace has no reason to send.
func (p *Process) checkSaid(m nsenter.Message) error {
	if !p.madeWay || p.plan.SaidLast(m.ID) {
		return nil
	}
	return unexpected(m)
}

func unexpected(m nsenter.Message) error {
	if m.File != nil {
		m.File.Close()
	}
	return fmt.Errorf("the process sent message %d, which nothing waits for", m.ID)
}

// awaitChild waits for the PID of the child that replaces the first process. Messages of the child
// may arrive before its PID.
func (p *Process) awaitChild() (int, error) {
	for {
		m, err := p.receive()
		var failed *nsenter.Failure
		switch {
		case err != nil && !errors.As(err, &failed):
			for _, r := range p.early {
				if r.err != nil {
					err = r.err
					break
				}
			}
			return 0, p.explain(err)
		case err == nil && m.ID == setup.MessageChild:
			return int(m.Value), nil
		case err == nil && m.ID == setup.MessageCgroup: // the first process waits for this before it clones
			if err := p.serve(m); err != nil {
				return 0, err
			}
			continue
		}
		p.early = append(p.early, received{m, err})
	}
}

// followChild continues with the child that has replaced the process.
func (p *Process) followChild(child int) error {
	// An unreaped child keeps its PID, so this cannot be another process.
	pidfd, err := sys.OpenPidfd(child)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	p.first, p.madeWay = p.proc, true
	p.proc = &nsenter.Process{Pid: child, Pidfd: pidfd, Conn: p.first.Conn}
	return nil
}

// next returns the next message.
func (p *Process) next() (nsenter.Message, error) {
	if len(p.early) > 0 {
		r := p.early[0]
		p.early = p.early[1:]
		return r.Message, r.err
	}
	return p.receive()
}

// receive waits for a message.
func (p *Process) receive() (nsenter.Message, error) {
	limit := AnswerLimit
	if p.Patient {
		limit = -1
	}
	return Receive(p.proc.Conn, p.proc.Pid, limit, p.Stops)
}

// explain turns the end of a conversation into an error that names the failed step and the cause.
func (p *Process) explain(err error) error {
	var f *nsenter.Failure
	if errors.As(err, &f) {
		return p.plan.FailedStep(p.program, f)
	}
	if err != io.EOF {
		return err
	}
	status, werr := waitChild(p.proc)
	p.proc.Pid = 0
	switch {
	case werr != nil:
		return werr
	case status.Signaled() && status.Signal() == unix.SIGKILL:
		return &SetupError{"the container's process was killed while it was set up (is linux.resources.memory.limit too low?)"}
	case status.Signaled():
		return &SetupError{"the container's process was ended by " + unix.SignalName(status.Signal()) + " while it was set up"}
	}
	return &SetupError{fmt.Sprintf("the container's process exited with status %d while it was set up", status.ExitStatus())}
}

// SetupError says that a process ended while it was set up, without saying why.
type SetupError struct{ text string }

func (e *SetupError) Error() string { return e.text }
