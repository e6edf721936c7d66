package setup

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// runHooks waits while the runtime runs hooks, with all mounts made and the host still reachable.
type runHooks struct{ Kinds string }

func (runHooks) kind() kind        { return kind{phaseHooks, "wait", ""} }
func (h runHooks) String() string  { return "wait while the runtime runs " + h.Kinds + " hooks" }
func (runHooks) lower(l *lowering) { l.rendezvous(MessageHooks) }

// execHook executes a hook, whose path is the program's name.
type execHook struct{ execProgram }

func (e execHook) String() string    { return "exec the hook " + e.Name }
func (e execHook) lower(l *lowering) { e.exec(l, l.str(e.Name)) }

// HookProcess returns the process for a startContainer hook: the container's process, except for
// the program and its arguments, the terminal, and the environment if the hook has one.
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

// enterBundle enters the bundle's directory, in which hooks of the host start. It skips a directory
// that the process cannot reach: the mount namespace may be another container's, and the user
// namespace may lack the permission.
type enterBundle struct{ Path string }

func (enterBundle) kind() kind       { return kind{phaseIdentity, "enter", ""} }
func (e enterBundle) String() string { return "enter the bundle " + e.Path }

func (e enterBundle) lower(l *lowering) {
	dir, stay := l.fd(), l.prog.NewLabel()
	l.hostOpen(e.Path, openDir).Result(dir).OnError(stay, unix.ENOENT, unix.EACCES)
	l.call(unix.SYS_FCHDIR, dir).OnError(stay, unix.EACCES)
	l.prog.Place(stay)
}

// endWithRuntime has the kernel kill a hook when the thread that started it ends, and so when the
// runtime ends for any reason. A change of credentials undoes this, and a filter may forbid it.
type endWithRuntime struct{}

func (endWithRuntime) kind() kind {
	return kind{phaseStart, "kill", "kill the hook when the runtime ends"}
}

func (endWithRuntime) lower(l *lowering) {
	l.prctl(unix.PR_SET_PDEATHSIG, nsenter.Int(int(unix.SIGKILL)))
}
