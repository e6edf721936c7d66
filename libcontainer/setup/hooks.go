package setup

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// runHooks lets the runtime run hooks while all is mounted and the host is still in reach.
type runHooks struct{ Kinds string }

func (runHooks) Verb() string        { return "wait" }
func (h runHooks) String() string    { return "wait while the runtime runs " + h.Kinds + " hooks" }
func (runHooks) Needs() []Descriptor { return nil }
func (runHooks) phase() phase        { return phaseHooks }
func (runHooks) lower(l *lowering)   { l.rendezvous(MessageHooks) }

// execHook executes a hook.
type execHook struct {
	Path string
	Args []string
	Env  []string
	learned
}

func (execHook) Verb() string        { return "exec" }
func (execHook) Needs() []Descriptor { return nil }
func (execHook) phase() phase        { return phaseExec }
func (e execHook) String() string    { return "exec the hook " + e.Path }

func (e execHook) lower(l *lowering) {
	argv, env := l.prog.Strings(e.Args), l.environment(e.Env, e.learned)
	if !l.closed {
		l.closeOnExec()
	}
	l.own(unix.SYS_EXECVE, e.Path, nsenter.Arg(l.str(e.Path)), argv, env)
}

// HookProcess returns what a startContainer hook is started as: the container's process, but for the program and its arguments, a terminal, and the
// environment if the hook has one.
func HookProcess(h *specs.Hook, container *specs.Process) *specs.Process {
	p := *container
	p.Terminal, p.ExecCPUAffinity = false, nil
	if p.Args = h.Args; len(p.Args) == 0 {
		p.Args = []string{h.Path}
	}
	if len(h.Env) > 0 {
		p.Env = h.Env
	}
	return &p
}

// enterBundle enters the bundle's directory, where hooks of the host begin, unless the process cannot get there: the mount namespace may
// be another container's, and the user one that may not walk there.
type enterBundle struct{ Path string }

func (enterBundle) Verb() string        { return "enter" }
func (enterBundle) Needs() []Descriptor { return nil }
func (enterBundle) phase() phase        { return phaseIdentity }
func (e enterBundle) String() string    { return "enter the bundle " + e.Path }

func (e enterBundle) lower(l *lowering) {
	dir, stay := l.fd(), l.prog.NewLabel()
	l.host(unix.SYS_OPENAT, e.Path, nsenter.Int(unix.AT_FDCWD), l.str(e.Path), nsenter.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC),
		nsenter.Int(0)).Result(dir).OnError(stay, unix.ENOENT, unix.EACCES)
	l.call(unix.SYS_FCHDIR, dir).OnError(stay, unix.EACCES)
	l.prog.Place(stay)
}

// endWithRuntime has the kernel kill a hook when the thread ends that has started it, and so when the runtime does, however that ends. A change
// of credentials takes that back, and a filter may forbid it.
type endWithRuntime struct{}

func (endWithRuntime) Verb() string        { return "tie" }
func (endWithRuntime) String() string      { return "tie the hook to the runtime's life" }
func (endWithRuntime) Needs() []Descriptor { return nil }
func (endWithRuntime) phase() phase        { return phaseStart }

func (endWithRuntime) lower(l *lowering) {
	l.call(unix.SYS_PRCTL, nsenter.Int(unix.PR_SET_PDEATHSIG), nsenter.Int(int(unix.SIGKILL)), nsenter.Int(0), nsenter.Int(0), nsenter.Int(0))
}
