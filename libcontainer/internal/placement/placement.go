// Package placement manages where the processes of a container run. There are three placements:
//
//	cgroupfs  a cgroup that the runtime makes
//	systemd   a cgroup that is a unit of systemd
//	none      the creator's cgroup; the container's processes are found by namespaces and parents
//
// [New] plans the placement of a new container, [Load] returns that of an existing one.
package placement

import (
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/forker"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/setup"
)

// ErrNoCgroup says that an operation needs a cgroup and the container has none.
var ErrNoCgroup = errors.New("cgroup not exist: the container was created without one")

// A Creation is the placement of a container that is being created.
type Creation interface {
	// Facts describes the cgroup to the planner.
	Facts() setup.CgroupFacts
	// Dirs are the directories that will be the container's.
	Dirs() []string
	// Check returns what prevents the creation of the cgroup, without creating it.
	Check() []error
	// Notes are for a log: resources that are not applied.
	Notes() []string

	// Record enters the placement into the state record before anything is created.
	Record(rec *state.Record, dir *state.Dir)
	// RecordFound enters the earlier state of the cgroup once it has been created.
	RecordFound(rec *state.Record) error
	// Join sets in the options how the process joins the cgroup, and returns the files that it
	// needs for that.
	Join(o *setup.Options) []launch.Deferred

	// Begin starts creating the cgroup on the forker, if the process needs it first of all.
	Begin(f *forker.Forker)
	// Start starts the process in the cgroup, and creates the cgroup unless Begin has.
	Start(f *forker.Forker, p *launch.Process) error
	// EnterCgroup puts the process into the cgroup (setup.MessageCgroup).
	EnterCgroup(pid int) error
	// Tighten writes the limits that would have prevented the start of the process.
	Tighten() error
	// Complete returns when all limits hold. Neither hooks nor the program may run before. It can
	// be called again.
	Complete(pid int) error
	// BeforeProgram lists what must be done between the setup of the process and its program. write
	// writes the record.
	BeforeProgram(rec *state.Record, write func() error) []func() error

	// Charge calls fork for a process whose memory is charged to the container, whose first process
	// is first. If Charge returns a file, the new process must write "0" to it.
	Charge(first int, fork func(cgroup int) (pid int, err error)) (*os.File, error)
	// OOMKills returns how many processes of the container the kernel's OOM killer has killed.
	OOMKills() (uint64, error)

	// Undo kills the remaining processes and removes what was created.
	Undo() error
	// Close releases what only the creation needs. It is always called last.
	Close()
}

// A Placement is the placement of an existing container.
type Placement interface {
	// Cgroup returns the container's cgroup. The error is ErrNoCgroup without one.
	Cgroup() (*cgroups.Manager, error)
	// Frozen reports whether the container is paused.
	Frozen() (bool, error)
	// ThawKilled thaws killed processes, which could not end otherwise.
	ThawKilled() error
	// Processes lists the container's processes, sorted.
	Processes() ([]int, error)
	// Signal sends a signal to all processes of the container.
	Signal(sig unix.Signal) error
	// EndOthers kills the processes that may outlive the first one and that Remove does not kill,
	// and waits for their end.
	EndOthers() error
	// Update changes limits. warn gets what systemd does not preserve.
	Update(r *specs.LinuxResources, warn func(string)) error
	// Enter sets in the options how another process joins the container.
	Enter(e Entering, o *setup.Options) (*Entrance, error)
	// Remove kills the remaining processes and removes the cgroup. warn gets problems that must not
	// prevent the deletion of the container.
	Remove(warn func(string)) error
}

// Load returns the placement of the container of a record.
func Load(rec *state.Record, dir *state.Dir) Placement {
	if len(rec.CgroupPaths) == 0 {
		return &none{rec}
	}
	c := cgroupfs{rec: rec, cgroup: cgroups.Load(cgroups.Layout{}, rec.CgroupPaths)}
	c.cgroup.SetOwner(ownerOf(rec, dir))
	if found := rec.FoundCgroups; found != nil {
		c.cgroup.SetFound(found, rec.Status == specs.StateCreating)
	}
	if rec.Unit != "" {
		return &unit{c}
	}
	return &c
}
