package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// TasksOf names the file by which a process joins the container's cgroup in a v1 hierarchy, opened for writing. hierarchy is one of
// cgroups.Manager.Joins.
func TasksOf(hierarchy string) nsenter.FD { return nsenter.FD("tasks of " + hierarchy) }

// joinCgroup moves the process into the container's cgroup in a v1 hierarchy. A process that moves only itself does not wait for an RCU
// grace period, as one whose number is written into cgroup.procs does.
type joinCgroup struct{ Tasks nsenter.FD }

func (joinCgroup) Verb() string          { return "join" }
func (j joinCgroup) String() string      { return "join the cgroup by the " + string(j.Tasks) }
func (j joinCgroup) Needs() []Descriptor { return []Descriptor{{Name: j.Tasks}} }
func (joinCgroup) phase() phase          { return phaseIsolate }

func (j joinCgroup) lower(l *lowering) {
	l.call(unix.SYS_WRITE, j.Tasks, l.str("0"), nsenter.Int(1))
}

// A LateCgroup is a v1 cgroup of the container's that is made while the process sets itself up.
type LateCgroup struct {
	Hierarchy string // one of cgroups.Manager.Joins
	Tasks     string // the path of its file of tasks
}

// joinLate waits at the Gate until the container's cgroups are made, and joins them, by paths of the host. The memory cgroup, if there is
// one, is only opened, for joinMemory.
type joinLate struct {
	Cgroups []LateCgroup
	Memory  string // the path of its file of tasks; "" for none
}

func (joinLate) Verb() string        { return "join" }
func (joinLate) Needs() []Descriptor { return []Descriptor{{Name: Gate}} }
func (joinLate) phase() phase        { return phaseMounts }

func (j joinLate) String() string {
	text := "wait for the cgroup, and join it:"
	for _, c := range j.Cgroups {
		text += " " + c.Hierarchy
	}
	return text
}

func (j joinLate) lower(l *lowering) {
	if j.Memory != "" {
		l.memory = l.keep()
	}
	fd := l.prog.Reg() // closed here: their number is the host's affair
	l.gate()
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

// MemoryTasks is the file by which a process joins the container's v1 memory cgroup, opened for writing.
const MemoryTasks nsenter.FD = "tasks of the memory cgroup"

// joinMemory moves the process into the container's memory cgroup, when nothing of its set-up will be charged to it any more.
type joinMemory struct{ Late bool }

func (joinMemory) Verb() string   { return "join" }
func (joinMemory) String() string { return "join the memory cgroup" }
func (joinMemory) phase() phase   { return phaseCharge }

func (j joinMemory) Needs() []Descriptor {
	if j.Late { // joinLate opens it
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

// joinLast moves the process into one of the container's cgroups when all else is done. In a frozen one it stands
// still until the container is resumed. Inside is set for one that limits the number of processes and is full: it
// would refuse the clone by which the process enters the PID namespace, and does not refuse a process that moves.
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

// awaitCgroup waits for the process to be put into its cgroup, by who may do that where the runtime may not.
type awaitCgroup struct{}

func (awaitCgroup) Verb() string        { return "await" }
func (awaitCgroup) String() string      { return "await the cgroup" }
func (awaitCgroup) Needs() []Descriptor { return nil }
func (awaitCgroup) phase() phase        { return phaseIsolate }

func (awaitCgroup) lower(l *lowering) { l.rendezvous(MessageCgroup) }

// cgroupSteps appends what brings the process into its cgroup. It comes before all else: a child of the process is then in the cgroup, too, and
// so is the root of a cgroup namespace.
func (b *builder) cgroupSteps(o Options) {
	if o.AwaitCgroup {
		b.add("", awaitCgroup{})
	}
	for _, tasks := range o.JoinCgroups {
		b.add("", joinCgroup{tasks})
	}
}
