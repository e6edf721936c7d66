package resource

import (
	"errors"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/intelrdt"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
)

// Resctrl are the container's groups in the resctrl filesystem (linux.intelRdt).
type Resctrl struct {
	entry  *Entry
	config *specs.LinuxIntelRdt
	group  *intelrdt.Group
}

// NewResctrl returns the groups for a configuration. There are none if it is nil.
func NewResctrl(e *Entry, config *specs.LinuxIntelRdt) *Resctrl {
	return &Resctrl{entry: e, config: config}
}

// Record implements Resource. The container already owns its id, so no other container of this
// runtime has a group with that name.
func (r *Resctrl) Record(rec *state.Record) (err error) {
	if r.config == nil {
		return nil
	}
	if r.group, err = intelrdt.Plan(rec.ID, r.config); err == nil {
		r.enter(rec)
	}
	return err
}

func (r *Resctrl) enter(rec *state.Record) {
	rec.RDTGroup, rec.RDTMonitor, rec.RDTOwned = r.group.Dir, r.group.Monitor, r.group.Owned()
}

// Prepare implements Resource.
func (r *Resctrl) Prepare() error {
	if r.group == nil {
		return nil
	}
	return r.group.Make(func() error {
		r.enter(r.entry.Rec)
		return r.entry.Write()
	})
}

// Join moves the process into the groups, before it starts any other.
func (r *Resctrl) Join(pid int) error {
	if r.group == nil {
		return nil
	}
	return r.group.Join(pid)
}

// Undo implements Resource.
func (r *Resctrl) Undo() error {
	if r.group == nil {
		return nil
	}
	return r.group.Undo()
}

// RemoveResctrl removes the groups that belong to a container.
func RemoveResctrl(rec *state.Record) error {
	var errs []error
	if rec.RDTMonitor != "" {
		errs = append(errs, intelrdt.Remove(rec.RDTMonitor))
	}
	if rec.RDTOwned {
		errs = append(errs, intelrdt.Remove(rec.RDTGroup))
	}
	return errors.Join(errs...)
}

// OpenResctrl opens the files with which a process joins a container's groups. It omits groups that
// were removed meanwhile: the container's processes are no longer in them either.
func OpenResctrl(rec *state.Record) (named []nsenter.NamedFile, release func(), err error) {
	release = func() {
		for _, n := range named {
			n.File.Close()
		}
	}
	for _, group := range []struct {
		name nsenter.FD
		dir  string
	}{{setup.RDTTasks, rec.RDTGroup}, {setup.RDTMonitorTasks, rec.RDTMonitor}} {
		if group.dir == "" {
			continue
		}
		f, err := os.OpenFile(filepath.Join(group.dir, "tasks"), os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			release()
			return nil, nil, err
		}
		named = append(named, nsenter.NamedFile{Name: string(group.name), File: f})
	}
	return named, release, nil
}
