package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// MemoryTasks is the file by which a process joins the container's v1 memory cgroup, opened for writing.
const MemoryTasks nsenter.FD = "tasks of the memory cgroup"

// joinMemory moves the process into the container's memory cgroup, when nothing of its set-up will be charged to it any more. A
// process that moves only itself does not wait for an RCU grace period.
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

// cgroupSteps appends the wait for a cgroup. It comes before all else: a child of the process is then in the cgroup, too, and so is the root of a
// cgroup namespace.
func (b *builder) cgroupSteps(o Options) {
	if o.AwaitCgroup {
		b.add("", awaitCgroup{})
	}
}
