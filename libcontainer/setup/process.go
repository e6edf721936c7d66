package setup

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// setUmask gives the process its own umask; until then it is 0.
type setUmask struct{ Mask uint32 }

func (setUmask) kind() kind          { return kind{phaseInside, "set", ""} }
func (s setUmask) String() string    { return "set umask " + octal(s.Mask) }
func (s setUmask) lower(l *lowering) { l.call(unix.SYS_UMASK, nsenter.Int(s.Mask)) }

func octal(n uint32) string {
	return string([]byte{'0', '0' + byte(n>>6&7), '0' + byte(n>>3&7), '0' + byte(n&7)})
}

// defaultUmask is the umask of a process whose configuration has none.
const defaultUmask = 0o022

// setPersonality sets the process's execution domain.
type setPersonality struct{ Domain specs.LinuxPersonalityDomain }

func (setPersonality) kind() kind       { return kind{phaseInside, "set", ""} }
func (s setPersonality) String() string { return "set personality " + string(s.Domain) }

func (s setPersonality) lower(l *lowering) {
	const perLinux, perLinux32 = 0x0, 0x8 // include/uapi/linux/personality.h
	domain := perLinux
	if s.Domain == specs.PerLinux32 {
		domain = perLinux32
	}
	l.call(unix.SYS_PERSONALITY, nsenter.Int(domain))
}

// enterCwd enters the working directory. It tries with the runtime's privileges, which may be
// needed to get there, and again with the user's, who may have access to a network filesystem that
// root does not have.
type enterCwd struct {
	Path   string
	AsUser bool
}

func (e enterCwd) kind() kind { return kind{phaseIf(e.AsUser, phaseUser, phaseBounding), "enter", ""} }

func (e enterCwd) String() string {
	if e.AsUser {
		return "enter the directory " + e.Path + " as the user, if that failed before"
	}
	return "enter the directory " + e.Path
}

func (e enterCwd) lower(l *lowering) {
	skip := l.prog.NewLabel()
	if !e.AsUser {
		l.cwd = l.keep()
		fd := l.fd()
		l.prog.Set(l.cwd, noFD)
		last, opened := l.tryOpen(fd, e.Path, openDir)
		last.OnError(skip, unix.EACCES, unix.EPERM)
		l.prog.Place(opened)
		l.call(unix.SYS_FCHDIR, fd).OnError(skip, unix.EACCES, unix.EPERM)
		l.prog.Set(l.cwd, fd)
		l.prog.Place(skip)
		return
	}
	again, fd := l.prog.NewLabel(), l.fd()
	l.call(unix.SYS_FCNTL, l.cwd, nsenter.Int(unix.F_GETFD)).OnError(again, unix.EBADF)
	l.prog.Jump(skip)
	l.prog.Place(again)
	l.open(fd, l.root, rel(e.Path), unix.O_PATH|unix.O_DIRECTORY, 0, inRoot)
	l.call(unix.SYS_FCHDIR, fd)
	l.prog.Place(skip)
}

// cwdStep enters the working directory.
func (b *builder) cwdStep(p *specs.Process, asUser bool) {
	if p.Cwd != "" {
		b.add("process.cwd", enterCwd{cleanPath(p.Cwd), asUser})
	}
}

// findProgram finds the program to be executed, as the user that will execute it, so that problems
// show before the container counts as created.
type findProgram struct {
	Name string
	// Candidates are the paths to try, in this order.
	Candidates []string
}

func (f findProgram) String() string { return "find the program " + quote(f.Name) }

func (f findProgram) kind() kind {
	if strings.Contains(f.Name, "/") {
		return kind{phaseFind, "find", ""}
	}
	return kind{phaseFind, verbSearch, ""}
}

func (f findProgram) lower(l *lowering) {
	l.found = l.keep()
	if strings.Contains(f.Name, "/") {
		l.single(f.Name)
		return
	}
	done := l.prog.NewLabel()
	for _, c := range f.Candidates {
		next, found := l.prog.NewLabel(), l.prog.NewLabel()
		l.executable(c).OnError(next)
		l.isDirectory(c, found)
		l.prog.Jump(next)
		l.prog.Place(found)
		l.prog.Set(l.found, l.str(c))
		l.prog.Jump(done)
		l.prog.Place(next)
	}
	l.prog.Fail(unix.ENOENT)
	l.prog.Place(done)
}

// single emits the check of a program that is given as a path.
func (l *lowering) single(path string) {
	file := l.prog.NewLabel()
	l.executable(path)
	l.isDirectory(path, file)
	l.prog.Fail(unix.EACCES) // like execve(2)
	l.prog.Place(file)
	l.prog.Set(l.found, l.str(path))
}

func (l *lowering) executable(path string) *nsenter.Op {
	return l.own(unix.SYS_FACCESSAT2, path, nsenter.Int(unix.AT_FDCWD), l.str(path), nsenter.Int(unix.X_OK), nsenter.Int(unix.AT_EACCESS))
}

// isDirectory jumps to the label if a path does not name a directory.
func (l *lowering) isDirectory(path string, no nsenter.Label) {
	l.ownOpen(path, openDir).OnError(no)
}

// maxCandidates bounds the lookup. PATH has no limit of its own.
const maxCandidates = 1000

// Candidates returns the paths that a program may have, by PATH of the process's environment.
// Without PATH nothing is found, as in other runtimes.
func Candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	if name == "" {
		return nil
	}
	var list []string
	for dir := range strings.SplitSeq(variable(env, "PATH"), ":") {
		switch {
		case len(list) == maxCandidates:
			return list
		case dir == "":
			// An empty entry is the working directory, but only when there is a PATH.
			if variable(env, "PATH") != "" {
				list = append(list, "./"+name)
			}
		default:
			list = append(list, strings.TrimRight(dir, "/")+"/"+name)
		}
	}
	return list
}

// variable returns the value of a variable. Of several, the last one counts, as in the shell.
func variable(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name); ok && strings.HasPrefix(v, "=") {
			return v[1:]
		}
	}
	return ""
}
