package setup

import "github.com/orlop/orlop/nsenter"

// Files by which a process joins the container's groups in the resctrl filesystem, opened for
// writing.
const (
	RDTTasks        nsenter.FD = "tasks of the RDT group"
	RDTMonitorTasks nsenter.FD = "tasks of the RDT monitoring group"
)

// joinRDT moves the process into a group of the resctrl filesystem. The process moves itself, so
// its program cannot start others outside the group first.
type joinRDT struct{ Tasks nsenter.FD }

func (joinRDT) kind() kind            { return kind{phaseCharge, "join", ""} }
func (j joinRDT) String() string      { return "join by the " + string(j.Tasks) }
func (j joinRDT) Needs() []Descriptor { return []Descriptor{{Name: j.Tasks}} }

func (j joinRDT) lower(l *lowering) { l.write(j.Tasks, "0") }
