package setup

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// execProgram closes what the program must not inherit and executes it.
type execProgram struct {
	Name string
	Args []string
	Env  []string
	learned
}

// learned says which variables, whose values the process learns, belong to an environment: see
// learnHome and learnPid.
type learned struct{ Home, Pid bool }

func (b *builder) learned() learned { return learned{b.learnsHome, b.learnsPid != ""} }

// environment returns the address of an envp.
func (l *lowering) environment(list []string, and learned) nsenter.Addr {
	words := make([]uint64, 0, len(list)+3)
	for _, e := range list {
		words = append(words, uint64(l.str(e)))
	}
	if and.Home {
		words = append(words, uint64(l.home))
	}
	if and.Pid {
		words = append(words, uint64(l.pid))
	}
	return l.prog.Words(append(words, 0)...)
}

func (execProgram) kind() kind       { return kind{phaseExec, "exec", ""} }
func (e execProgram) String() string { return "exec " + displayArgs(e.Args) }

func (e execProgram) lower(l *lowering) { e.exec(l, l.found) }

// exec emits the exec of the program at a path, which is the address of a string.
func (e execProgram) exec(l *lowering, path nsenter.Arg) {
	argv, env := l.prog.Strings(e.Args), l.environment(e.Env, e.learned)
	if !l.closed {
		l.closeOnExec()
	}
	l.own(unix.SYS_EXECVE, e.Name, path, argv, env)
}

// nothingToExec fails the start of a container whose configuration has no program.
type nothingToExec struct{}

func (nothingToExec) kind() kind {
	return kind{phaseExec, "exec", "fail: there is no program to start"}
}

func (nothingToExec) lower(l *lowering) {
	l.closeOnExec()
	l.prog.Fail(unix.EINVAL)
}

// displayArgs formats arguments for messages. Long ones are cut.
func displayArgs(args []string) string {
	const most = 120
	var text strings.Builder
	for i, a := range args {
		if i > 0 {
			text.WriteByte(' ')
		}
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\") {
			a = quote(a)
		}
		if text.Len()+len(a) > most {
			text.WriteString("...")
			break
		}
		text.WriteString(a)
	}
	return text.String()
}
