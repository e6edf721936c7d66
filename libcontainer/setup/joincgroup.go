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
