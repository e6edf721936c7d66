package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/hooks"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
)

// A birth is a process on its way from a plan to its last exec:
//
//	conceive  the plan becomes a program
//	prepare   the program is sealed, with its descriptors; nothing runs yet
//	openTasks the cgroup is there that the process is to join
//	start     the process is there
//	converse  it is served until it says what its caller waits for
//	finish    it has executed its program, and is the caller's
//	abort     at any point, instead: nothing is left of it
type birth struct {
	plan    *setup.Plan
	program *nsenter.Program
	streams Streams
	outputs *outputRelay // nil where the process has the caller's files
	here    uintptr      // namespaces of the plan (CLONE_NEW*) that the thread which starts the process is in
	owned   []*os.File   // descriptors that were opened for the plan, closed when the process has them
	tasks   []tasksFile  // by which the process joins its cgroup
	inside  []tasksFile  // by which it does so when it has entered the PID namespace: descriptors before all others
	launch  *nsenter.Launch
	proc    *nsenter.Process
	first   *nsenter.Process  // the process that gave way to proc by joining a PID namespace; nil when there was none
	early   []heard           // what proc said before its number was known
	gaveWay bool              // the first process has given way to proc
	waiting []nsenter.Message // that are served when a process that does so last has done so
	master  *os.File          // of its terminal
	pidFile string            // has the process's number, which is another's once the process has ended
	copy    *os.File          // the folder of the image that is to be copied next
	initial string            // the processors that it is started from, "" for the runtime's
	// patient says that the process may take any time to go on, and stops what is not to be waited for any longer: see awaitAnswer.
	patient bool
	stops   []hooks.Stop
	// asked is the last thing that the process asked for with setup.MessageMissing, and how often.
	asked struct {
		number uint32
		answer setup.Missing
		count  int
	}
	// pidfdName is what the receiver of a pidfd is told of it.
	pidfdName string
	// runHooks is called at setup.MessageHooks, and agent with the listener of setup.MessageSeccomp, which it closes.
	runHooks func() error
	agent    func(listener *os.File) error
	// enterCgroup puts the process into its cgroup, at setup.MessageCgroup.
	enterCgroup func(pid int) error
	// copyUp fills a tmpfs at setup.MessageCopyTo, whose value is step.
	copyUp func(from, to *os.File, step uint32) error
	// entered is called when a process that gives way last has done so; nil for nothing.
	entered func() error
	// takeNetDevices is called at setup.MessageNetDevices.
	takeNetDevices func() error
}

// heard is a message of the process, or its failure.
type heard struct {
	nsenter.Message
	err error
}

// conceive verifies the plan and makes a program of it.
func conceive(plan *setup.Plan, s Streams) (*birth, error) {
	if err := plan.Verify(); err != nil {
		return nil, err
	}
	program, err := plan.Lower()
	return &birth{plan: plan, program: program, streams: s}, err
}

// putBetween has pipes copied to the standard streams of a set.
func (b *birth) putBetween(set [3]bool) error {
	if set == [3]bool{} {
		return nil
	}
	b.outputs = new(outputRelay)
	theirs, err := b.outputs.putBetween(&b.streams, set)
	b.owned = append(b.owned, theirs...)
	return err
}

// prepare makes a process that is ready to be started. extra are the plan's descriptors that have no path; they stay the caller's.
func (b *birth) prepare(extra ...nsenter.NamedFile) error {
	files, err := b.descriptors(extra)
	if err != nil {
		return err
	}
	s := &b.streams
	b.launch, err = nsenter.Prepare(b.program, nsenter.Start{
		Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		Inherit:    s.Files,
		Files:      files,
		Cloneflags: b.plan.Cloneflags &^ b.here,
		Senders:    b.plan.ClonesLast(),
	})
	return err
}

// start starts the process. It is called where the process is to be born: see cgroups.Manager.Spawn. It returns when the process
// will make no other one, unless that is the last thing it does: see enter.
func (b *birth) start(cgroup int) (err error) {
	if b.proc, err = b.launch.Start(cgroup); err != nil {
		return err
	}
	if !b.plan.Clones() || b.plan.ClonesLast() {
		return nil
	}
	child, err := b.child()
	if err != nil {
		return err
	}
	return b.giveWay(child)
}

// giveWay goes on with the child that has taken the place of the process.
func (b *birth) giveWay(child int) error {
	// A child that is not reaped keeps its number, so this cannot be another process.
	pidfd, err := sys.OpenPidfd(child)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	b.first, b.gaveWay = b.proc, true
	b.proc = &nsenter.Process{Pid: child, Pidfd: pidfd, Conn: b.first.Conn}
	return nil
}

// entering reports whether the process is to give way to another one, after its set-up.
func (b *birth) entering() bool { return !b.gaveWay && b.plan.ClonesLast() }

// enter serves a process until it gives way to another one, in a PID namespace where a tracer may take that over. So only what the first
// process says is believed until it has told of its child, and then only what the child may say: see checkSaid.
func (b *birth) enter() error {
	for {
		m, err := b.receive()
		switch {
		case m.Sender != 0 && m.Sender != b.proc.Pid:
			b.early = append(b.early, heard{m, err})
		case err != nil:
			return b.explain(err)
		case m.ID == setup.MessageChild:
			if err := b.giveWay(int(m.Value)); err != nil {
				return err
			}
			if b.entered != nil {
				if err := b.entered(); err != nil {
					return err
				}
			}
			return b.serveWaiting()
		case m.ID == setup.MessageConsole, m.ID == setup.MessageSeccomp: // others get what came with it, once, and for the child
			b.waiting = append(b.waiting, m)
		default:
			if err := b.serve(m); err != nil {
				return err
			}
		}
	}
}

func (b *birth) serveWaiting() error {
	for len(b.waiting) > 0 {
		m := b.waiting[0]
		b.waiting = b.waiting[1:]
		if err := b.serve(m); err != nil {
			return err
		}
	}
	return nil
}

// checkSaid refuses a message that a process which has entered a PID namespace last has no reason to send.
func (b *birth) checkSaid(m nsenter.Message) error {
	if !b.gaveWay || b.plan.SaidLast(m.ID) {
		return nil
	}
	if m.File != nil {
		m.File.Close()
	}
	return fmt.Errorf("the process sent message %d, which nothing waits for", m.ID)
}

// child waits for the number of the process that takes the place of the first one. What that says itself may come before.
func (b *birth) child() (int, error) {
	for {
		m, err := b.receive()
		var failed *nsenter.Failure
		switch {
		case err != nil && !errors.As(err, &failed):
			for _, h := range b.early {
				if h.err != nil {
					err = h.err
					break
				}
			}
			return 0, b.explain(err)
		case err == nil && m.ID == setup.MessageChild:
			return int(m.Value), nil
		case err == nil && m.ID == setup.MessageCgroup: // the first one waits for it, before it has a child
			if err := b.serve(m); err != nil {
				return 0, err
			}
			continue
		}
		b.early = append(b.early, heard{m, err})
	}
}

// next returns what the process says next.
func (b *birth) next() (nsenter.Message, error) {
	if len(b.early) > 0 {
		h := b.early[0]
		b.early = b.early[1:]
		return h.Message, h.err
	}
	return b.receive()
}

// receive waits for what the process says.
func (b *birth) receive() (nsenter.Message, error) {
	limit := answerLimit
	if b.patient {
		limit = -1
	}
	if err := awaitAnswer(b.proc.Conn, b.proc.Pid, limit, b.stops); err != nil {
		return nsenter.Message{}, err
	}
	return b.proc.Conn.Next()
}

// converse serves the process until it sends the message with this number, or, when until is 0, until it has executed its program.
func (b *birth) converse(until int) error {
	if b.entering() {
		if err := b.enter(); err != nil {
			return err
		}
	}
	for {
		m, err := b.next()
		if err == io.EOF && until == 0 {
			if b.plan.Mute() {
				return executed(b.proc.Pid, b.proc.Pidfd)
			}
			return nil
		}
		if err != nil {
			return b.explain(err)
		}
		if err := b.checkSaid(m); err != nil {
			return err
		}
		if m.ID == until {
			return nil
		}
		if err := b.serve(m); err != nil {
			return err
		}
	}
}

// serve does what a message asks for.
func (b *birth) serve(m nsenter.Message) error {
	switch m.ID {
	case setup.MessageHooks:
		if err := b.runHooks(); err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	case setup.MessageCgroup:
		if err := b.enterCgroup(b.proc.Pid); err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	case setup.MessageNetDevices:
		if err := b.takeNetDevices(); err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	case setup.MessageConsole:
		return b.takeMaster(m.File)
	case setup.MessageCopyFrom:
		b.copy = m.File
		return nil
	case setup.MessageCopyTo:
		err := b.copyUp(b.copy, m.File, m.Value)
		b.copy.Close()
		m.File.Close()
		b.copy = nil
		if err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	case setup.MessageDestination:
		if err := b.checkDestination(m); err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	case setup.MessageMissing:
		return b.tellMissing(m)
	case setup.MessageSeccomp:
		if err := b.agent(m.File); err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	case setup.MessageIDMap:
		if err := b.mapMount(m); err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	case setup.MessagePid:
		return b.tellPid()
	case setup.MessageHome:
		return b.tellHome(m)
	case setup.MessageScheduler:
		if err := b.schedule(); err != nil {
			return err
		}
		return b.proc.Conn.Resume()
	}
	if m.File != nil {
		m.File.Close()
	}
	return fmt.Errorf("the process sent message %d, which nothing waits for", m.ID)
}

// explain turns the end of a conversation into the step that failed and why.
func (b *birth) explain(err error) error {
	var f *nsenter.Failure
	if errors.As(err, &f) {
		return b.plan.Explain(b.program, f)
	}
	if err != io.EOF {
		return err
	}
	status, werr := waitChild(b.proc)
	b.proc.Pid = 0
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

// SetupError says that a process ended while it was set up, without a word.
type SetupError struct{ text string }

func (e *SetupError) Error() string { return e.text }

// finish hands the process to the caller.
func (b *birth) finish() (*Process, error) {
	for _, socket := range [...]string{b.streams.PidfdSocket, b.streams.pidfdReceiver} {
		if socket == "" {
			continue
		}
		if err := console.Send(socket, b.pidfdName, b.proc.Pidfd); err != nil {
			return nil, err
		}
	}
	if err := writePidFile(b.streams.PidFile, b.proc.Pid); err != nil {
		return nil, err
	}
	b.pidFile = b.streams.PidFile
	return &Process{pid: b.proc.Pid, pidfd: b.proc.Pidfd, console: b.master, outputs: b.outputs}, nil
}

// reapFirst waits for the process that gave way, which has nothing left to do.
func (b *birth) reapFirst() error {
	if b.first == nil {
		return nil
	}
	first := b.first
	b.first = nil
	defer first.Pidfd.Close()
	_, err := waitChild(first)
	return err
}

// abort ends the process and waits for its end.
func (b *birth) abort() error {
	var errs []error
	if b.proc != nil && b.proc.Pid != 0 {
		errs = append(errs, endChild(b.proc))
	}
	errs = append(errs, b.reapFirst())
	if b.pidFile != "" {
		if err := os.Remove(b.pidFile); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if b.proc != nil {
		b.proc.Pidfd.Close()
	}
	if b.master != nil {
		b.master.Close()
	}
	b.release()
	return errors.Join(errs...)
}

// release closes what only the birth needs.
func (b *birth) release() {
	for _, f := range b.owned {
		f.Close()
	}
	b.owned = nil
	if b.launch != nil {
		b.launch.Close()
	}
	if b.proc != nil {
		b.proc.Conn.Close()
	}
	for _, h := range b.early {
		b.waiting = append(b.waiting, h.Message)
	}
	for _, m := range b.waiting {
		if m.File != nil {
			m.File.Close()
		}
	}
	b.early, b.waiting = nil, nil
	if b.copy != nil {
		b.copy.Close()
		b.copy = nil
	}
}
