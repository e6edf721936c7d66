// Package launch takes one process from its plan to the exec of its program. It builds the image,
// opens the file descriptors, forks, serves the requests of the process while it sets itself up,
// and cleans up on failure.
package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
)

// A Process is on its way from a plan to its last exec:
//
//	New          verifies the plan and lowers it to a program
//	Prepare      opens the file descriptors and seals the image; nothing runs yet
//	OpenDeferred opens files that did not exist before: those of its cgroup
//	Start        forks it
//	Converse     serves it until it sends the message that the caller waits for
//	Finish       hands it to the caller, and is followed by Release
//	Abort        instead, at any point: kills the process and cleans up
type Process struct {
	Config
	plan    *setup.Plan
	program *nsenter.Program
	outputs *outputRelay // nil if the process has the caller's files
	owned   []*os.File   // closed when the process has them
	launch  *nsenter.Launch
	proc    *nsenter.Process
	first   *nsenter.Process // the process that cloned proc; nil if there was none
	madeWay bool             // proc has replaced the first process
	early   []received       // messages of proc that arrived before its PID
	waiting []nsenter.Message
	master  *os.File // of its terminal
	pidFile string   // the file that WritePidFile has written
	copied  *os.File // the directory of the image to copy next
	// releasePipe is the write end of setup.ReleasePipe, nil for a plan without it.
	releasePipe *os.File
	asked       missingQuestion
}

// Config is what a caller adds to a plan.
type Config struct {
	Streams Streams
	// Entered are the namespaces of the plan (CLONE_NEW*) that the forking thread is in already.
	Entered uintptr
	// Deferred are files that exist when OpenDeferred is called. Those of DeferredInside get the
	// first file descriptors.
	Deferred, DeferredInside []Deferred
	// Stops end the conversation. Unless it is Patient, it also fails when the process sends
	// nothing for too long.
	Stops   []hooks.Stop
	Patient bool
	Handlers
}

// Streams are the file descriptors of a process.
type Streams struct {
	Stdin, Stdout, Stderr *os.File // nil: /dev/null
	Relayed               [3]bool  // outputs to copy from a pipe
	Inherited             []*os.File
	ConsoleSocket         string // gets the terminal's master; "": Finish returns it
}

// A Deferred is a file that the process needs and that does not exist yet when it is prepared.
type Deferred struct {
	Name nsenter.FD
	Open func() (*os.File, error)
}

// New verifies a plan and lowers it to a program.
func New(plan *setup.Plan, c Config) (*Process, error) {
	if err := plan.Verify(); err != nil {
		return nil, err
	}
	program, err := plan.Lower()
	if err != nil {
		return nil, err
	}
	p := &Process{Config: c, plan: plan, program: program}
	if c.Streams.Relayed != [3]bool{} {
		p.outputs = new(outputRelay)
		theirs, err := p.outputs.insert(&p.Streams)
		p.owned = append(p.owned, theirs...)
		if err != nil {
			p.Release()
			return nil, err
		}
	}
	return p, nil
}

// Prepare prepares the process for its start. extra are the plan's files that have no path; they
// stay the caller's.
func (p *Process) Prepare(extra ...nsenter.NamedFile) error {
	files, err := p.descriptors(extra)
	if err != nil {
		return err
	}
	s := &p.Streams
	p.launch, err = nsenter.Prepare(p.program, nsenter.Start{
		Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		Inherit:    s.Inherited,
		Files:      files,
		Cloneflags: p.plan.Cloneflags &^ p.Entered,
		Senders:    p.plan.ClonesLast(),
	})
	return err
}

// OpenDeferred opens the deferred files.
func (p *Process) OpenDeferred() error {
	for _, list := range [...][]Deferred{p.DeferredInside, p.Deferred} {
		for _, d := range list {
			f, err := d.Open()
			if err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
			p.owned = append(p.owned, f)
			if err := p.launch.Give(string(d.Name), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Start forks the process into the cgroup2 that the file descriptor cgroup refers to; -1 means the
// caller's. It returns when the process will not clone any more, unless the clone is its last step:
// see serveUntilChild.
func (p *Process) Start(cgroup int) (err error) {
	if p.proc, err = p.launch.Start(cgroup); err != nil {
		return err
	}
	if !p.plan.Clones() || p.plan.ClonesLast() {
		return nil
	}
	child, err := p.awaitChild()
	if err != nil {
		return err
	}
	return p.followChild(child)
}

// Pid returns the PID of the process.
func (p *Process) Pid() int { return p.proc.Pid }

// Pidfd returns the pidfd of the process.
func (p *Process) Pidfd() *os.File { return p.proc.Pidfd }

// ClonesLast reports whether a child replaces the process after its setup.
func (p *Process) ClonesLast() bool { return p.plan.ClonesLast() }

// Resume answers the last message: the process continues.
func (p *Process) Resume() error { return p.proc.Conn.Resume() }

// Unblock lets the process pass setup.ReleasePipe once, now or when it reaches it.
func (p *Process) Unblock() error {
	if _, err := p.releasePipe.Write([]byte{1}); err != nil {
		return fmt.Errorf("release the process: %w", err)
	}
	return nil
}

// Remaining returns the operations after the wait at the start socket. `start` names them in
// errors.
func (p *Process) Remaining() []setup.Remaining { return p.plan.Remains(p.program) }

// SendPidfd sends the pidfd and a name for it to a unix socket.
func (p *Process) SendPidfd(socket, name string) error {
	return console.Send(socket, name, p.proc.Pidfd)
}

// WritePidFile writes the PID for an engine that waits for the file: digits only, and atomically.
// Abort removes it.
func (p *Process) WritePidFile(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	_, err = fmt.Fprint(f, p.proc.Pid)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("pid file: %w", err)
	}
	p.pidFile = path
	return nil
}

// ReapFirst waits for the first process if a child has replaced it; it is about to exit.
func (p *Process) ReapFirst() error {
	if p.first == nil {
		return nil
	}
	first := p.first
	p.first = nil
	defer first.Pidfd.Close()
	_, err := waitChild(first)
	return err
}

// Finish returns the process, which belongs to the caller from then on.
func (p *Process) Finish() *Child {
	return &Child{Pid: p.proc.Pid, Pidfd: p.proc.Pidfd, Console: p.master, outputs: p.outputs}
}

// Abort kills the process and waits for its end.
func (p *Process) Abort() error {
	var errs []error
	if p.proc != nil && p.proc.Pid != 0 {
		errs = append(errs, endChild(p.proc))
	}
	errs = append(errs, p.ReapFirst())
	if p.pidFile != "" {
		if err := os.Remove(p.pidFile); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if p.proc != nil {
		p.proc.Pidfd.Close()
	}
	if p.master != nil {
		p.master.Close()
	}
	p.Release()
	return errors.Join(errs...)
}

// Release closes what only the launch needs.
func (p *Process) Release() {
	for _, f := range p.owned {
		f.Close()
	}
	p.owned = nil
	if p.launch != nil {
		p.launch.Close()
	}
	if p.proc != nil {
		p.proc.Conn.Close()
	}
	for _, r := range p.early {
		p.waiting = append(p.waiting, r.Message)
	}
	for _, m := range p.waiting {
		if m.File != nil {
			m.File.Close()
		}
	}
	p.early, p.waiting = nil, nil
	for _, f := range []*os.File{p.copied, p.releasePipe} {
		if f != nil {
			f.Close()
		}
	}
	p.copied, p.releasePipe = nil, nil
}

// A Child is a process that has executed its program, or waits for its start.
type Child struct {
	Pid     int
	Pidfd   *os.File
	Console *os.File // the master of its terminal, nil without one
	outputs *outputRelay
}

// Wait waits for the end of the process and of the copying of its output.
func (c *Child) Wait() (unix.WaitStatus, error) {
	status, err := sys.Reap(c.Pid)
	if err == nil {
		c.outputs.finish()
	}
	return status, err
}

// WaitReaping is Wait for a program that has no other children of its own. It also reaps orphans
// that the program adopts meanwhile.
func (c *Child) WaitReaping() (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		pid, err := sys.Retry(func() (int, error) { return unix.Wait4(-1, &status, 0, nil) })
		if err != nil {
			return 0, fmt.Errorf("wait for process %d: %w", c.Pid, err)
		}
		if pid == c.Pid {
			c.outputs.finish()
			return status, nil
		}
	}
}
