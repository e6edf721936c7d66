package setup

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Verify returns the first safety rule that the plan breaks. It checks the steps, and then the
// system calls that they are lowered to. No plan that breaks a rule becomes a program.
//
//	isolate first        the process isolates itself, once, before every step in which other
//	                     processes could reach it
//	phases in order      the steps' phases never go backwards
//	namespaces in order  new namespaces belong to the container's user namespace; the process
//	                     changes to an ID of it right after it has joined it, and is replaced by
//	                     its child after all of them
//	cgroups first        a cgroup namespace is only made by a process that is in all of its
//	                     cgroups
//	one root             the root is opened once, before any lookup in it, and changed once, if it
//	                     is not the process's own
//	credentials dropped  a container's program is only executed after bounding set, user,
//	                     capabilities and ambient set were set, each once, in this order; a hook's
//	                     after all of them or none
//	masks prepared       nothing is masked before the masks exist
//	exec last            the plan ends with its one exec
//	opened in the root   openat2 walks paths, confined below a descriptor, and never follows a
//	                     magic link
//	names only           other calls with a descriptor have one name, not a path
//	no host after pivot  a path of the host is walked only before the root is changed
//	no path before       a path is walked as the container's process walks it only after the root
//	                     is changed
//	calls as listed      the calls that may walk paths are listed; all others have none
//	mount points         links of the image lead to no mount point that the runtime has not
//	                     checked
//	rendezvous paired    a wait follows its message, no message is sent twice, and a message in
//	                     two parts is complete
//	closed last          descriptors are closed in the very operation before the exec, or before
//	                     the load of a seccomp filter, or before the clone into a PID namespace
//	                     with other processes, after which none is made
//	filtered last        a capability that was kept for loading a seccomp filter is dropped, and
//	                     nothing else comes between load and exec, or between load and clone
//	filter allows        the filter allows what comes after a load before the clone
//	entered last         a process that enters a PID namespace with other processes has the
//	                     program's credentials before, and then does only what it must do itself
//
// A rehearsal opens no root and executes nothing, so rules about that do not apply to it. It has
// one of its own:
//
//	nothing stays        nothing is changed that outlives the process
func (p *Plan) Verify() error {
	for i := range stepRules {
		if p.rehearsal && stepRules[i].whole {
			continue
		}
		if step, problem := stepRules[i].check(p.Steps); problem != "" {
			return p.broken(stepRules[i].name, step, problem)
		}
	}
	if i := slices.IndexFunc(p.Steps, is[joinUser]); i >= 0 && p.Cloneflags != 0 {
		return p.broken("namespaces in order", i, "the process starts in namespaces that do not belong to it")
	}
	l := p.lower()
	for i := range callRules {
		if p.rehearsal && callRules[i].whole || !p.rehearsal && callRules[i].tried {
			continue
		}
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

// A RuleError names the rule that a plan breaks. It is a bug of the runtime.
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

// stepRules are the rules about steps. A check returns the step that breaks the rule and how, or
// "".
var stepRules = [...]struct {
	name  string
	check func([]Step) (int, string)
	whole bool // not for rehearsals
}{
	{"isolate first", isolateFirst, false},
	{"phases in order", phasesInOrder, false},
	{"namespaces in order", namespacesInOrder, false},
	{"cgroups first", cgroupsFirst, false},
	{"one root", oneRoot, true},
	{"credentials dropped", credentialsDropped, true},
	{"masks prepared", masksPrepared, false},
	{"exec last", execLast, false},
	{"filtered last", filteredLast, true},
	{"entered last", enteredLast, true},
}

func isolateFirst(steps []Step) (int, string) {
	isolated, dumpable := false, false
	for i, s := range steps {
		switch a := s.Action.(type) {
		case isolate:
			if isolated {
				return i, "appears twice"
			}
			isolated, dumpable = true, a.Dumpable
		case setOOMScore:
		default:
			if !isolated {
				return i, "comes before the process is isolated"
			}
			if dumpable && meetsOthers(a) {
				return i, "others could inspect the process there"
			}
		}
	}
	if !isolated {
		return 0, "the process is never isolated"
	}
	return 0, ""
}

// meetsOthers reports whether an action moves the process into a namespace that others may be in.
func meetsOthers(a Action) bool {
	switch j := a.(type) {
	case joinNamespace, joinContainer:
		return true
	case joinUser:
		return !j.isNew()
	}
	return false
}

func phasesInOrder(steps []Step) (int, string) {
	for i := 1; i < len(steps); i++ {
		if before, now := steps[i-1].phase(), steps[i].phase(); now < before {
			return i, "phase " + now.String() + " after phase " + before.String()
		}
	}
	return 0, ""
}

func namespacesInOrder(steps []Step) (int, string) {
	var user, made, cloned bool
	for i, s := range steps {
		if s.phase() == phaseJoin && cloned && !is[enterRoot](s) {
			return i, "comes after the clone"
		}
		switch s.Action.(type) {
		case joinUser:
			if user || made {
				return i, "comes after namespaces that must belong to it"
			}
			user = true
		case newNamespaces, newCgroupNamespace:
			made = true
		case becomeRoot:
			if !is[joinUser](steps[max(i-1, 0)]) && !is[joinContainer](steps[max(i-1, 0)]) {
				return i, "the process has joined no user namespace right before"
			}
		case cloneChild:
			cloned = true
		}
		if is[joinUser](s) && (i+1 == len(steps) || !is[becomeRoot](steps[i+1])) {
			return i, "the process has no mapped ID in it"
		}
	}
	return 0, ""
}

func cgroupsFirst(steps []Step) (int, string) {
	namespace := false
	for i, s := range steps {
		namespace = namespace || is[newCgroupNamespace](s)
		if namespace && is[joinMemory](s) { // the other cgroups are joined in the phase before
			return i, "the namespace shows the cgroup that the process was in before"
		}
	}
	return 0, ""
}

func oneRoot(steps []Step) (int, string) {
	opened, changed, own := false, false, false
	for i, s := range steps {
		switch ph := s.phase(); {
		case opensRoot(s):
			if opened {
				return i, "the root is opened twice"
			}
			opened = true
			_, own = s.Action.(openOwnRoot)
		case changesRoot(s):
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

func opensRoot(s Step) bool { return is[bindRoot](s) || is[openRoot](s) || is[openOwnRoot](s) }

func changesRoot(s Step) bool { return is[pivot](s) || is[moveRoot](s) || is[changeRoot](s) }

// first returns the first action of type T and its step, -1 for none.
func first[T Action](p *Plan) (action T, step int) {
	if step = slices.IndexFunc(p.Steps, is[T]); step >= 0 {
		action = p.Steps[step].Action.(T)
	}
	return action, step
}

// is reports whether a step's action is a T.
func is[T Action](s Step) bool {
	_, ok := s.Action.(T)
	return ok
}

func credentialsDropped(steps []Step) (int, string) {
	order := 0
	for i, s := range steps {
		rank := 0
		switch s.Action.(type) {
		case dropBounding:
			rank = 1
		case setUser:
			rank = 2
		case setCapabilities:
			rank = 3
		case setAmbient:
			rank = 4
		case execProgram:
			if order != 4 {
				return i, "credentials are not all dropped"
			}
		case execHook:
			if order != 0 && order != 4 {
				return i, "credentials are not all dropped"
			}
		}
		if rank != 0 {
			if rank != order+1 {
				return i, "is not in its place among the credentials"
			}
			order = rank
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

func filteredLast(steps []Step) (int, string) {
	retained, loaded := false, false
	for i, s := range steps {
		switch a := s.Action.(type) {
		case setCapabilities:
			retained = a.Effective&(1<<unix.CAP_SYS_ADMIN) != 0
		case loadSeccomp:
			if loaded {
				return i, "appears twice"
			}
			loaded = true
			next := steps[min(i+1, len(steps)-1)]
			last := is[execProgram](next) || is[execHook](next)
			if a.First {
				last = is[cloneChild](next)
			}
			if !last && !is[dropAdmin](next) {
				return i, "is not right before the exec"
			}
		case dropAdmin:
			if !loaded || !retained {
				return i, "there is nothing to take back"
			}
		}
	}
	return 0, ""
}

// enteredLast applies to programs of the container. A hook of the host keeps the runtime's
// privileges.
func enteredLast(steps []Step) (int, string) {
	if n := len(steps); n == 0 || !is[execProgram](steps[n-1]) && !slices.ContainsFunc(steps, is[setCapabilities]) {
		return 0, ""
	}
	joined, dropped, closed, entered := false, false, false, false
	for i, s := range steps {
		switch a := s.Action.(type) {
		case joinContainer:
			joined = joined || a.Flags&unix.CLONE_NEWPID != 0
		case joinNamespace:
			joined = joined || a.Flag == unix.CLONE_NEWPID
		case setAmbient:
			dropped = true
		case closeOwn:
			closed = true
		case cloneChild:
			if joined && !a.Exposed && !(a.Last && dropped && closed) {
				return i, "others see the process that has not given up its privileges"
			}
			entered = a.Last
			continue
		}
		if entered && !ownStep(s.Action) {
			return i, "is done where others may trace the process"
		}
	}
	return 0, ""
}

// ownStep reports whether a process that enters a PID namespace must do a step itself.
func ownStep(a Action) bool {
	switch a := a.(type) {
	case newSession, setControllingTerminal, awaitSeccompAgent, limitProcesses, learnPid, hold, lowerFileLimit, endWithRuntime, loadSeccomp, dropAdmin,
		execProgram, execHook, nothingToExec:
		return true
	case setScheduler:
		return a.Outside
	case joinCgroup:
		return a.When == phaseOwn
	}
	return false
}
