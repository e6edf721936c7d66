package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// TasksOf names the file by which a process joins the container's cgroup in a v1 hierarchy, opened
// for writing. hierarchy is one of cgroups.Manager.Joins.
func TasksOf(hierarchy string) nsenter.FD { return nsenter.FD("tasks of " + hierarchy) }

// joinCgroup moves the process into the container's cgroup in a v1 hierarchy. A process that moves
// only itself does not wait for an RCU grace period, unlike one whose PID is written to
// cgroup.procs.
type joinCgroup struct{ Tasks nsenter.FD }

func (joinCgroup) Verb() string          { return "join" }
func (j joinCgroup) String() string      { return "join the cgroup by the " + string(j.Tasks) }
func (j joinCgroup) Needs() []Descriptor { return []Descriptor{{Name: j.Tasks}} }
func (joinCgroup) phase() phase          { return phaseIsolate }

func (j joinCgroup) lower(l *lowering) {
	l.call(unix.SYS_WRITE, j.Tasks, l.str("0"), nsenter.Int(1))
}

// A DeferredCgroup is a v1 cgroup of the container that is made while the process sets itself up.
type DeferredCgroup struct {
	Hierarchy string // one of cgroups.Manager.Joins
	Tasks     string // the path of its tasks file
}

// joinDeferred waits at the ReleasePipe until the container's cgroups are made, and joins them by
// paths of the host. It only opens the memory cgroup, if there is one, for joinMemory.
type joinDeferred struct {
	Cgroups []DeferredCgroup
	Memory  string // the path of its tasks file; "" for none
}

func (joinDeferred) Verb() string        { return "join" }
func (joinDeferred) Needs() []Descriptor { return []Descriptor{{Name: ReleasePipe}} }
func (joinDeferred) phase() phase        { return phaseMounts }

func (j joinDeferred) String() string {
	text := "wait for the cgroup, and join it:"
	for _, c := range j.Cgroups {
		text += " " + c.Hierarchy
	}
	return text
}

func (j joinDeferred) lower(l *lowering) {
	if j.Memory != "" {
		l.memory = l.keep()
	}
	fd := l.prog.Reg() // closed here, because their number depends on the host
	l.awaitRelease()
	for _, c := range j.Cgroups {
		l.openTasks(c.Tasks).Result(fd)
		l.call(unix.SYS_WRITE, fd, l.str("0"), nsenter.Int(1))
		l.call(unix.SYS_CLOSE, fd)
	}
	if j.Memory != "" {
		l.openTasks(j.Memory).Result(l.memory)
	}
}

func (l *lowering) openTasks(path string) *nsenter.Op {
	return l.host(unix.SYS_OPENAT, path, nsenter.Int(unix.AT_FDCWD), l.str(path), nsenter.Int(unix.O_WRONLY|unix.O_CLOEXEC), nsenter.Int(0))
}

// MemoryTasks is the file by which a process joins the container's v1 memory cgroup, opened for
// writing.
const MemoryTasks nsenter.FD = "tasks of the memory cgroup"

// joinMemory moves the process into the container's memory cgroup after the setup, which is not
// charged to it.
type joinMemory struct{ Late bool }

func (joinMemory) Verb() string   { return "join" }
func (joinMemory) String() string { return "join the memory cgroup" }
func (joinMemory) phase() phase   { return phaseCharge }

func (j joinMemory) Needs() []Descriptor {
	if j.Late { // joinDeferred opens it
		return nil
	}
	return []Descriptor{{Name: MemoryTasks}}
}

func (j joinMemory) lower(l *lowering) {
	tasks := nsenter.Arg(MemoryTasks)
	if j.Late {
		tasks = l.memory
	}
	l.call(unix.SYS_WRITE, tasks, l.str("0"), nsenter.Int(1))
}

// joinLast moves the process into one of the container's cgroups after everything else. In a frozen
// cgroup the process stops until the container is resumed. Inside is set for a cgroup that limits
// the number of processes and is full. It would refuse the clone by which the process enters the
// PID namespace, but it does not refuse a process that moves in.
type joinLast struct {
	Tasks  nsenter.FD
	Inside bool
}

func (joinLast) Verb() string          { return "join" }
func (j joinLast) String() string      { return "join the cgroup by the " + string(j.Tasks) }
func (j joinLast) Needs() []Descriptor { return []Descriptor{{Name: j.Tasks}} }

func (j joinLast) phase() phase {
	if j.Inside {
		return phaseOwn
	}
	return phaseCharge
}

func (j joinLast) lower(l *lowering) {
	l.call(unix.SYS_WRITE, j.Tasks, l.str("0"), nsenter.Int(1))
}

// awaitCgroup waits until a manager that may do so puts the process into its cgroup, because the
// runtime may not.
type awaitCgroup struct{}

func (awaitCgroup) Verb() string        { return "wait" }
func (awaitCgroup) String() string      { return "wait for the cgroup" }
func (awaitCgroup) Needs() []Descriptor { return nil }
func (awaitCgroup) phase() phase        { return phaseIsolate }

func (awaitCgroup) lower(l *lowering) { l.rendezvous(MessageCgroup) }

// cgroupSteps puts the process into its cgroup. These steps come before all others, so that
// children of the process and the root of a new cgroup namespace are in the cgroup, too.
func (b *builder) cgroupSteps(o Options) {
	if o.AwaitCgroup {
		b.add("", awaitCgroup{})
	}
	for _, tasks := range o.JoinCgroups {
		b.add("", joinCgroup{tasks})
	}
}
