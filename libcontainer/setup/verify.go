package setup

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Verify reports the first rule of safety that the plan breaks. It looks at the steps, and then at the system calls that they are
// lowered to. No plan that breaks a rule becomes a program.
//
//	isolate first        the process isolates itself before all else, once
//	phases in order      the steps' phases never go backwards
//	user namespace first a user namespace is joined before all others, and a PID namespace after them
//	one root             the root is opened once, before anything is looked up in it, and changed once, if it is not the process's own
//	credentials dropped  a container's program is only executed after bounding set, user, capabilities and ambient set
//	                     were set, each once, in this order; a hook's after all of them or none
//	masks prepared       nothing is masked before there is something to mask it with
//	exec last            the plan ends with its one exec
//	opened in the root   a path is walked by openat2, held below a descriptor, and never follows a magic link
//	names only           other calls with a descriptor take one name, not a path
//	no host after pivot  a path of the host is walked only before the root is changed
//	no path before       a path is walked as the container's process walks it only after the root is changed
//	calls as listed      which calls may walk paths is listed; all others take none
//	rendezvous paired    who waits has said so, nothing is said twice, and what comes in two messages comes whole
//	closed last          descriptors are closed in the very operation before the exec
func (p *Plan) Verify() error {
	for i := range stepRules {
		if step, problem := stepRules[i].check(p.Steps); problem != "" {
			return p.broken(stepRules[i].name, step, problem)
		}
	}
	l := p.lower()
	for i := range callRules {
		if at, problem := callRules[i].check(p.Steps, l.calls); problem != "" {
			step := len(p.Steps) - 1
			if at < len(l.calls) {
				step = l.calls[at].step
			}
			return p.broken(callRules[i].name, step, problem)
		}
	}
	p.verified = l
	return nil
}

// A RuleError tells which rule a plan breaks. It is a fault of the runtime's own.
type RuleError struct {
	Rule  string
	Step  int
	Title string // of the step
	What  string
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("plan breaks the rule %q: step %d (%s): %s", e.Rule, e.Step, e.Title, e.What)
}

func (p *Plan) broken(rule string, step int, problem string) error {
	e := &RuleError{Rule: rule, Step: step, What: problem}
	if step < len(p.Steps) {
		e.Title = p.Steps[step].String()
	}
	return e
}

// stepRules are the rules that look at steps. A check returns the step that breaks the rule and how, or "".
var stepRules = [...]struct {
	name  string
	check func([]Step) (int, string)
}{
	{"isolate first", isolateFirst},
	{"phases in order", phasesInOrder},
	{"user namespace first", userNamespaceFirst},
	{"one root", oneRoot},
	{"credentials dropped", credentialsDropped},
	{"masks prepared", masksPrepared},
	{"exec last", execLast},
}

func isolateFirst(steps []Step) (int, string) {
	for i, s := range steps {
		if _, ok := s.Action.(isolate); ok != (i == 0) {
			return i, "must be the first step, once"
		}
	}
	if len(steps) == 0 {
		return 0, "the plan is empty"
	}
	return 0, ""
}

func phasesInOrder(steps []Step) (int, string) {
	for i := 1; i < len(steps); i++ {
		if before, now := steps[i-1].phase(), steps[i].phase(); now < before {
			return i, "phase " + now.String() + " after phase " + before.String()
		}
	}
	return 0, ""
}

func userNamespaceFirst(steps []Step) (int, string) {
	joined, cloned := false, false
	for i, s := range steps {
		switch a := s.Action.(type) {
		case joinNamespace:
			if a.Flag == unix.CLONE_NEWUSER && joined {
				return i, "comes after another namespace"
			}
			if cloned {
				return i, "comes after the clone"
			}
			joined = true
		case joinContainer, newCgroupNamespace:
			if cloned {
				return i, "comes after the clone"
			}
			joined = true
		case cloneIntoPID:
			if cloned {
				return i, "is there twice"
			}
			cloned = true
		}
	}
	return 0, ""
}

func oneRoot(steps []Step) (int, string) {
	opened, changed, own := false, false, false
	for i, s := range steps {
		switch ph := s.phase(); {
		case is[interface{ setsRoot() }](s):
			if opened {
				return i, "the root is opened twice"
			}
			opened = true
			_, own = s.Action.(openOwnRoot)
		case is[interface{ changesRoot() }](s):
			if changed || own {
				return i, "the root is changed twice"
			}
			changed = true
		case ph > phaseRoot && ph < phasePivot && !opened && ph != phaseHooks:
			return i, "there is no root yet"
		case is[enterCwd](s) && !opened:
			return i, "there is no root yet"
		case ph > phasePivot && opened && !own && !changed:
			return i, "the root is not changed yet"
		}
	}
	return 0, ""
}

// is reports whether a step's action is, or implements, T.
func is[T any](s Step) bool {
	_, ok := s.Action.(T)
	return ok
}

func credentialsDropped(steps []Step) (int, string) {
	order := 0
	for i, s := range steps {
		place := 0
		switch s.Action.(type) {
		case dropBounding:
			place = 1
		case setUser:
			place = 2
		case setCapabilities:
			place = 3
		case setAmbient:
			place = 4
		case execProgram:
			if order != 4 {
				return i, "credentials are not all dropped"
			}
		case execHook:
			if order != 0 && order != 4 {
				return i, "credentials are not all dropped"
			}
		}
		if place != 0 {
			if place != order+1 {
				return i, "is not in its place among the credentials"
			}
			order = place
		}
	}
	return 0, ""
}

func masksPrepared(steps []Step) (int, string) {
	prepared := false
	for i, s := range steps {
		switch s.Action.(type) {
		case prepareMasks:
			prepared = true
		case maskPath:
			if !prepared {
				return i, "there is no mask yet"
			}
		}
	}
	return 0, ""
}

func execLast(steps []Step) (int, string) {
	for i, s := range steps {
		if last := i == len(steps)-1; last != (s.phase() == phaseExec) {
			return i, "the exec must be the last step"
		}
	}
	return 0, ""
}

// callRules are the rules that look at system calls. A check returns the index of the call that breaks the rule and how,
// or "".
var callRules = [...]struct {
	name  string
	check func([]Step, []callRecord) (int, string)
}{
	{"opened in the root", openedInRoot},
	{"names only", namesOnly},
	{"no path before", noPathBefore},
	{"no host after pivot", noHostAfterPivot},
	{"calls as listed", callsAsListed},
	{"rendezvous paired", rendezvousPaired},
	{"closed last", closedLast},
}

func openedInRoot(_ []Step, calls []callRecord) (int, string) {
	for i := range calls {
		c := &calls[i]
		if c.way != wayOpenat2 {
			continue
		}
		if c.resolve&(unix.RESOLVE_IN_ROOT|unix.RESOLVE_BENEATH) == 0 {
			return i, "openat2 of " + quote(c.path) + " is not held in the root"
		}
		if c.resolve&unix.RESOLVE_NO_MAGICLINKS == 0 {
			return i, "openat2 of " + quote(c.path) + " may follow magic links"
		}
	}
	return 0, ""
}

func namesOnly(_ []Step, calls []callRecord) (int, string) {
	for i := range calls {
		if c := &calls[i]; c.way == wayAt && (c.path == "." || c.path == ".." || strings.IndexByte(c.path, '/') >= 0) {
			return i, quote(c.path) + " is not a name"
		}
	}
	return 0, ""
}

func noHostAfterPivot(_ []Step, calls []callRecord) (int, string) {
	changed := false
	for i := range calls {
		c := &calls[i]
		// The calls that change the root are at home on both sides of the change.
		changed = changed || c.way == wayOwn
		if c.way == wayHost && changed {
			return i, "walks " + quote(c.path) + " of the host after the root was changed"
		}
	}
	return 0, ""
}

func noPathBefore(steps []Step, calls []callRecord) (int, string) {
	inside := true // a process that joins a container is inside from the start
	for _, s := range steps {
		inside = inside && !is[interface{ changesRoot() }](s)
	}
	for i := range calls {
		c := &calls[i]
		if c.step < len(steps) && is[interface{ changesRoot() }](steps[c.step]) {
			inside = true
		}
		if c.way == wayOwn && !inside {
			return i, "walks " + quote(c.path) + " before the root is changed"
		}
	}
	return 0, ""
}

// callsAsListed lists the calls with paths, by the way in which they meet them.
func callsAsListed(_ []Step, calls []callRecord) (int, string) {
	for i := range calls {
		c := &calls[i]
		ok := true
		switch c.way {
		case wayNone:
			ok = takesNoPath(c.nr)
		case wayAt:
			switch c.nr {
			case unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_FSPICK:
				ok = c.path == "" // the descriptor itself
			case unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT, unix.SYS_FCHOWNAT, unix.SYS_FACCESSAT2:
				ok = c.path != ""
			default:
				ok = false
			}
		case wayHost:
			switch c.nr {
			case unix.SYS_OPENAT, unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT:
			default:
				ok = c.nr == unix.SYS_PIVOT_ROOT && c.path == "."
			}
		case wayOwn:
			switch c.nr {
			case unix.SYS_FACCESSAT2, unix.SYS_OPENAT, unix.SYS_EXECVE:
			case unix.SYS_CHDIR:
				ok = c.path == "/"
			default:
				ok = c.nr == unix.SYS_CHROOT && c.path == "."
			}
		}
		if !ok {
			return i, fmt.Sprintf("system call %d with the path %s is not one of those allowed", c.nr, quote(c.path))
		}
	}
	return 0, ""
}

// takesNoPath lists the calls that know no paths.
func takesNoPath(nr uintptr) bool {
	switch nr {
	case unix.SYS_ACCEPT4, unix.SYS_CAPSET, unix.SYS_CLONE, unix.SYS_CLOSE, unix.SYS_CLOSE_RANGE, unix.SYS_DUP3, unix.SYS_EXIT_GROUP,
		unix.SYS_FCHDIR, unix.SYS_FCHOWN, unix.SYS_FCNTL, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSOPEN, unix.SYS_IOCTL,
		unix.SYS_KEYCTL, unix.SYS_PERSONALITY, unix.SYS_PRCTL, unix.SYS_PRLIMIT64, unix.SYS_SETDOMAINNAME, unix.SYS_SETGROUPS,
		unix.SYS_SETHOSTNAME, unix.SYS_SETNS, unix.SYS_SETRESGID, unix.SYS_SETRESUID, unix.SYS_SETSID, unix.SYS_SOCKET,
		unix.SYS_UMASK, unix.SYS_UNSHARE, unix.SYS_WRITE:
		return true
	}
	return false
}

func rendezvousPaired(_ []Step, calls []callRecord) (int, string) {
	var said, answer, from uint64 // messages; whether one waits for an answer; whether a copy's source is sent
	for i := range calls {
		c := &calls[i]
		switch c.way {
		case waySend:
			id := c.resolve
			copying := id == MessageCopyFrom || id == MessageCopyTo
			switch {
			case answer != 0 && id != MessageChild:
				return i, fmt.Sprintf("message %d comes where the answer to message %d is waited for", id, answer)
			case said&(1<<id) != 0 && !copying:
				return i, fmt.Sprintf("message %d is sent twice", id)
			case (id == MessageCopyTo) != (from != 0):
				return i, fmt.Sprintf("message %d is half of a pair", id)
			}
			from = 0
			switch id {
			case MessageCopyFrom:
				from = 1
			case MessageHooks, MessageCopyTo, MessageReady, MessageStart:
				answer = id
			}
			said |= 1 << id
		case wayAwait:
			if answer == 0 && calls[max(i-1, 0)].way != waySend {
				return i, "waits for an answer to nothing"
			}
			answer = 0
		default:
			if answer != 0 || from != 0 {
				return i, "goes on between a message and the wait for its answer"
			}
		}
	}
	if answer != 0 || from != 0 {
		return len(calls), "a message's answer is not waited for"
	}
	return 0, ""
}

func closedLast(steps []Step, calls []callRecord) (int, string) {
	for i := range calls {
		if calls[i].nr == unix.SYS_EXECVE && calls[i].way == wayOwn && (i == 0 || calls[i-1].nr != unix.SYS_CLOSE_RANGE) {
			return i, "descriptors are not closed right before"
		}
	}
	if n := len(calls); n == 0 || calls[n-1].nr != unix.SYS_EXECVE && !is[nothingToExec](steps[len(steps)-1]) {
		return len(calls), "does not end in an exec"
	}
	return 0, ""
}
