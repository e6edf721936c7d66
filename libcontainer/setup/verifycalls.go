package setup

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// callRules are the rules about system calls. A check returns the index of the call that breaks the
// rule and how, or "".
var callRules = [...]struct {
	name  string
	check func([]Step, []callRecord) (int, string)
	whole bool // not for rehearsals
	tried bool // only for rehearsals
}{
	{"opened in the root", openedInRoot, false, false},
	{"names only", namesOnly, false, false},
	{"no path before", noPathBefore, true, false},
	{"no host after pivot", noHostAfterPivot, false, false},
	{"calls as listed", callsAsListed, false, false},
	{"mount points", mountPoints, false, false},
	{"rendezvous paired", rendezvousPaired, false, false},
	{"closed last", closedLast, true, false},
	{"filter allows", filterAllows, true, false},
	{"nothing stays", nothingStays, false, true},
}

func openedInRoot(_ []Step, calls []callRecord) (int, string) {
	for i := range calls {
		c := &calls[i]
		if c.way != wayOpenat2 {
			continue
		}
		if c.resolve&(unix.RESOLVE_IN_ROOT|unix.RESOLVE_BENEATH) == 0 {
			return i, "openat2 of " + quote(c.path) + " is not confined to the root"
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
		// The calls that change the root are allowed on both sides of the change.
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
		inside = inside && !changesRoot(s)
	}
	for i := range calls {
		c := &calls[i]
		if c.step < len(steps) && changesRoot(steps[c.step]) {
			inside = true
		}
		if c.way == wayOwn && !inside {
			return i, "walks " + quote(c.path) + " before the root is changed"
		}
	}
	return 0, ""
}

// callsAsListed lists the calls with paths, by the way in which they handle them.
func callsAsListed(_ []Step, calls []callRecord) (int, string) {
	for i := range calls {
		c := &calls[i]
		ok := true
		switch c.way {
		case wayNone:
			ok = hasNoPath(c.nr)
		case wayAt:
			switch c.nr {
			case unix.SYS_MOUNT:
				ok = c.path != ""
			case unix.SYS_OPEN_TREE: // the descriptor itself, or the mount on a name
			case unix.SYS_MOVE_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_FSPICK, unix.SYS_STATX:
				ok = c.path == "" // the descriptor itself
			case unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_SYMLINKAT, unix.SYS_READLINKAT, unix.SYS_UNLINKAT, unix.SYS_FCHOWNAT, unix.SYS_FACCESSAT2:
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

// hasNoPath lists the calls that have no path.
func hasNoPath(nr uintptr) bool {
	switch nr {
	case unix.SYS_ACCEPT4, unix.SYS_CAPSET, unix.SYS_CLONE, unix.SYS_CLOSE, unix.SYS_CLOSE_RANGE, unix.SYS_DUP3, unix.SYS_EXIT_GROUP,
		unix.SYS_FCHDIR, unix.SYS_FCHOWN, unix.SYS_FCNTL, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSOPEN, unix.SYS_FSTATFS, unix.SYS_IOCTL,
		unix.SYS_IOPRIO_SET, unix.SYS_KEYCTL, unix.SYS_PERSONALITY, unix.SYS_PPOLL, unix.SYS_PRCTL, unix.SYS_PRLIMIT64, unix.SYS_READ, unix.SYS_RT_SIGACTION,
		unix.SYS_RT_SIGPROCMASK, unix.SYS_SCHED_SETAFFINITY,
		unix.SYS_SCHED_SETATTR, unix.SYS_SECCOMP, unix.SYS_SETDOMAINNAME, unix.SYS_SETGROUPS, unix.SYS_SETHOSTNAME, unix.SYS_SETNS, unix.SYS_SETPRIORITY,
		unix.SYS_SETRESGID, unix.SYS_SETRESUID, unix.SYS_SETSID, unix.SYS_SIGNALFD4, unix.SYS_SET_MEMPOLICY, unix.SYS_SOCKET,
		unix.SYS_UMASK, unix.SYS_UNSHARE, unix.SYS_WRITE:
		return true
	}
	return false
}

// mountPoints checks the last walk before a mount is attached or changed. specconv decides what may
// be mounted on files of /proc.
func mountPoints(steps []Step, calls []callRecord) (int, string) {
	unsure, step := false, 0
	for i := range calls {
		c := &calls[i]
		if c.step >= len(steps) || steps[c.step].phase() != phaseMounts {
			continue
		}
		unsure, step = unsure && c.step == step, c.step
		switch {
		case c.source:
		case c.way == wayOpenat2 && c.path != ".":
			unsure = c.resolve&unix.RESOLVE_NO_SYMLINKS == 0 && !strings.HasPrefix(c.path, "proc/")
		case c.way == waySend && c.resolve == MessageDestination:
			unsure = false
		case unsure && (c.nr == unix.SYS_MOVE_MOUNT || c.nr == unix.SYS_MOUNT_SETATTR || c.nr == unix.SYS_FSPICK):
			return i, "links may have led to the mount point"
		}
	}
	return 0, ""
}

func rendezvousPaired(steps []Step, calls []callRecord) (int, string) {
	// said has the messages so far, answer the one whose answer is awaited, and from says that a
	// copy's source was sent.
	var said, answer, from uint64
	for i := range calls {
		c := &calls[i]
		switch c.way {
		case waySend:
			id := c.resolve
			again := id == MessageCopyFrom || id == MessageCopyTo || id == MessageDestination || id == MessageIDMap ||
				id == MessageMissing
			switch {
			case answer != 0 && id != MessageChild:
				return i, fmt.Sprintf("message %d comes before the answer to message %d", id, answer)
			case said&(1<<id) != 0 && !again:
				return i, fmt.Sprintf("message %d is sent twice", id)
			case (id == MessageCopyTo) != (from != 0):
				return i, fmt.Sprintf("message %d is half of a pair", id)
			}
			from = 0
			switch id {
			case MessageCopyFrom:
				from = 1
			case MessageHooks, MessageCopyTo, MessageReady, MessageStart, MessageDestination, MessageIDMap, MessageScheduler, MessageNetDevices,
				MessageSeccomp, MessagePid, MessageCgroup, MessageHome, MessageMissing:
				answer = id
			}
			said |= 1 << id
		case wayRelease: // answers MessageReady, if the process does not wait for start
			if answer != 0 && answer != MessageReady || from != 0 {
				return i, fmt.Sprintf("waits at the release pipe before the answer to message %d", answer)
			}
			answer = 0
		case wayAwait:
			if answer == 0 && calls[max(i-1, 0)].way != waySend {
				return i, "waits for an answer to nothing"
			}
			answer = 0
		default:
			waits := c.nr == unix.SYS_PPOLL && c.way == wayNone
			// Of a clone's two processes, the child waits.
			clones := answer == MessageSeccomp && phaseOf(steps, c) >= phaseFilter && phaseOf(steps, c) <= phaseEnter
			if !waits && !clones && (answer != 0 || from != 0) {
				return i, "goes on between a message and the wait for its answer"
			}
		}
	}
	if answer != 0 || from != 0 {
		return len(calls), "does not wait for the answer to a message"
	}
	return 0, ""
}

// phaseOf returns the phase of a call's step.
func phaseOf(steps []Step, c *callRecord) phase {
	if c.step >= len(steps) {
		return phaseExec
	}
	return steps[c.step].phase()
}

// opensNothing reports whether a call makes no descriptor that an exec would keep.
func opensNothing(c *callRecord) bool {
	if c.way == waySend || c.way == wayAwait || c.way == wayRelease {
		return true
	}
	switch c.nr {
	case unix.SYS_ACCEPT4, unix.SYS_CAPSET, unix.SYS_CLONE, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_IOCTL, unix.SYS_PRCTL,
		unix.SYS_PRLIMIT64, unix.SYS_SECCOMP, unix.SYS_SETSID, unix.SYS_WRITE:
		return true
	}
	return false
}

// filterAllows checks the calls of a process under a filter that was loaded before its clone.
func filterAllows(steps []Step, calls []callRecord) (int, string) {
	var f *SeccompFilter
	for i := range calls {
		c := &calls[i]
		if a, ok := steps[min(c.step, len(steps)-1)].Action.(loadSeccomp); ok && c.nr == unix.SYS_SECCOMP {
			if a.First {
				f = a.Filter
			}
			continue
		}
		nr := c.nr
		switch {
		case c.way == waySend && nr == 0:
			nr = unix.SYS_SENDTO
			if c.resolve == MessageSeccomp {
				nr = unix.SYS_SENDMSG
			}
		case c.way == wayAwait || c.way == wayRelease:
			nr = unix.SYS_READ
		}
		if f != nil && !f.allows(nr) {
			return i, fmt.Sprintf("the filter may not allow system call %d", nr)
		}
	}
	return 0, ""
}

func closedLast(steps []Step, calls []callRecord) (int, string) {
	for i := range calls {
		if calls[i].nr != unix.SYS_EXECVE || calls[i].way != wayOwn {
			continue
		}
		closed := slices.ContainsFunc(steps, is[closeOwn])
		before := i - 1
		for before >= 0 && calls[before].nr != unix.SYS_CLOSE_RANGE && (phaseOf(steps, &calls[before]) == phaseSeccomp || closed && opensNothing(&calls[before])) {
			before-- // the filter's own descriptor is close-on-exec from the start
		}
		if before < 0 || calls[before].nr != unix.SYS_CLOSE_RANGE {
			return i, "descriptors are not closed right before"
		}
	}
	if n := len(calls); n == 0 || calls[n-1].nr != unix.SYS_EXECVE && !is[nothingToExec](steps[len(steps)-1]) {
		return len(calls), "does not end in an exec"
	}
	return 0, ""
}
