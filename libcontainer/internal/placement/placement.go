// Package placement knows where the processes of a container live. There are three places:
//
//	cgroupfs  a cgroup that the runtime makes
//	systemd   a cgroup that is a unit of systemd
//	none      the creator's cgroup; the container's processes are found by namespaces and parents
//
// [New] plans the place of a new container, [Load] returns that of an existing one.
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

// ErrNoCgroup says that a container has no cgroup, which is needed.
var ErrNoCgroup = errors.New("cgroup not exist: the container was created without one")

// A Creation is the place of a container that is being created.
type Creation interface {
	// Facts describes the cgroup to the planner.
	Facts() setup.CgroupFacts
	// Dirs are the directories that will be the container's.
	Dirs() []string
	// Check returns what keeps the cgroup from being made, without making it.
	Check() []error
	// Notes are for a log: what is not applied here.
	Notes() []string

	// Record enters the place into the state record, before anything is made.
	Record(rec *state.Record, dir *state.Dir)
	// RecordFound enters what the cgroup was like before, when it is made.
	RecordFound(rec *state.Record) error
	// Join sets in the options how the process gets into the cgroup, and returns the files that it
	// takes for that.
	Join(o *setup.Options) []launch.Deferred

	// Begin begins to make the cgroup on the forker, if the process needs it before all else.
	Begin(f *forker.Forker)
	// Start starts the process in the cgroup, and makes that if Begin has not.
	Start(f *forker.Forker, p *launch.Process) error
	// EnterCgroup puts the process into the cgroup (setup.MessageCgroup).
	EnterCgroup(pid int) error
	// Tighten writes limits that had to leave room for the start of the process.
	Tighten() error
	// Complete returns when all limits hold. Nothing of the configuration may run before. It can be
	// called again.
	Complete(pid int) error
	// BeforeProgram lists what must be done with the process when it is set up, before its program
	// may run. write writes the record.
	BeforeProgram(rec *state.Record, write func() error) []func() error

	// Charge calls fork for a process whose memory is charged to the container, of which first is
	// the first process. The process has to write "0" to the file that is returned, if there is
	// one.
	Charge(first int, fork func(cgroup int) (pid int, err error)) (*os.File, error)
	// OOMKills returns how many processes the kernel has killed there for want of memory.
	OOMKills() (uint64, error)

	// Undo kills what is left, and removes what was made.
	Undo() error
	// Close releases what only the creation needs. It comes last, in any case.
	Close()
}

// A Placement is the place of a container that exists.
type Placement interface {
	// Cgroup returns the container's cgroup. The error is ErrNoCgroup without one.
	Cgroup() (*cgroups.Manager, error)
	// Frozen reports whether the container is paused.
	Frozen() (bool, error)
	// ThawKilled lets killed processes end that are frozen.
	ThawKilled() error
	// Processes lists the container's processes, sorted.
	Processes() ([]int, error)
	// Signal sends a signal to all processes of the container.
	Signal(sig unix.Signal) error
	// EndOthers kills the processes that need not end with the first one, as far as Remove does
	// not, and waits for their end.
	EndOthers() error
	// Update changes limits. warn gets what systemd does not keep to.
	Update(r *specs.LinuxResources, warn func(string)) error
	// Enter sets in the options how another process gets in.
	Enter(e Entering, o *setup.Options) (*Entrance, error)
	// Remove kills what is left and removes the cgroup. warn gets what is no reason to keep the
	// container.
	Remove(warn func(string)) error
}

// Load returns the place of the container of a record.
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
