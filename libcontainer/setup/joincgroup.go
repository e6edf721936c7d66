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
//
//	phaseIsolate  a container's first process
//	phaseCharge   a process that joins a container, after everything else: in a frozen cgroup it
//	              stops until the container is resumed
//	phaseOwn      the same for a cgroup that limits the number of processes and is full. It would
//	              refuse the clone by which the process enters the PID namespace, but it does not
//	              refuse a process that moves in
type joinCgroup struct {
	Tasks nsenter.FD
	When  phase
}

func (j joinCgroup) kind() kind          { return kind{j.When, "join", ""} }
func (j joinCgroup) String() string      { return "join the cgroup by the " + string(j.Tasks) }
func (j joinCgroup) Needs() []Descriptor { return []Descriptor{{Name: j.Tasks}} }

func (j joinCgroup) lower(l *lowering) { l.write(j.Tasks, "0") }

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

func (joinDeferred) kind() kind          { return kind{phaseMounts, "join", ""} }
func (joinDeferred) Needs() []Descriptor { return []Descriptor{{Name: ReleasePipe}} }

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
		l.hostOpen(c.Tasks, unix.O_WRONLY).Result(fd)
		l.write(fd, "0")
		l.call(unix.SYS_CLOSE, fd)
	}
	if j.Memory != "" {
		l.hostOpen(j.Memory, unix.O_WRONLY).Result(l.memory)
	}
}

// MemoryTasks is the file by which a process joins the container's v1 memory cgroup, opened for
// writing.
const MemoryTasks nsenter.FD = "tasks of the memory cgroup"

// joinMemory moves the process into the container's memory cgroup after the setup, which is not
// charged to it.
type joinMemory struct{ Late bool }

func (joinMemory) kind() kind { return kind{phaseCharge, "join", "join the memory cgroup"} }

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
	l.write(tasks, "0")
}

// awaitCgroup waits until a manager that may do so puts the process into its cgroup, because the
// runtime may not.
type awaitCgroup struct{}

func (awaitCgroup) kind() kind { return kind{phaseIsolate, "wait", "wait for the cgroup"} }

func (awaitCgroup) lower(l *lowering) { l.rendezvous(MessageCgroup) }

// cgroupSteps puts the process into its cgroup. These steps come before all others, so that
// children of the process and the root of a new cgroup namespace are in the cgroup, too.
func (b *builder) cgroupSteps(o Options) {
	if o.AwaitCgroup {
		b.add("", awaitCgroup{})
	}
	for _, tasks := range o.JoinCgroups {
		b.add("", joinCgroup{tasks, phaseIsolate})
	}
}
