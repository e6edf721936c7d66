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

// MemoryTasks is the file by which a process joins the container's v1 memory cgroup, opened for writing.
const MemoryTasks nsenter.FD = "tasks of the memory cgroup"

// joinMemory moves the process into the container's memory cgroup, when nothing of its set-up will be charged to it any more.
type joinMemory struct{}

func (joinMemory) Verb() string        { return "join" }
func (joinMemory) String() string      { return "join the memory cgroup" }
func (joinMemory) Needs() []Descriptor { return []Descriptor{{Name: MemoryTasks}} }
func (joinMemory) phase() phase        { return phaseReady }

func (joinMemory) lower(l *lowering) {
	l.call(unix.SYS_WRITE, MemoryTasks, l.str("0"), nsenter.Int(1))
}

// FreezerTasks is the file by which a process joins the container's frozen cgroup, opened for writing.
const FreezerTasks nsenter.FD = "tasks of the freezer"

// joinFreezer moves the process into the container's frozen cgroup, where it stands still until the container is resumed. Before that
// nobody could have served it.
type joinFreezer struct{}

func (joinFreezer) Verb() string        { return "join" }
func (joinFreezer) String() string      { return "join the frozen cgroup" }
func (joinFreezer) Needs() []Descriptor { return []Descriptor{{Name: FreezerTasks}} }
func (joinFreezer) phase() phase        { return phaseReady }

func (joinFreezer) lower(l *lowering) {
	l.call(unix.SYS_WRITE, FreezerTasks, l.str("0"), nsenter.Int(1))
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
