// Package cgroups puts a container's processes under the kernel's resource controls.
//
// A [Layout] says which cgroup hierarchies this host has and where. A [Manager] is one container's place in each of
// them: it makes the folders and writes the limits ([Manager.Create]), starts processes inside ([Manager.Spawn]),
// finds, signals and freezes them, and removes the folders ([Manager.Delete]).
//
// No process id is ever written into cgroup.procs on the usual ways: that waits for an RCU grace period, 10 ms and
// more. See [Manager.Spawn] for what is done in its place.
//
// Resources become (file, value) pairs in a pure function per controller (memory.go, cpu.go, ...), one for cgroup v1
// and one for cgroup2; one loop writes them (resources.go).
package cgroups

import (
	"errors"
	"fmt"

	"github.com/orlop/orlop/specconv"
)

// ErrFrozen says that the cgroup is frozen: a process that joins it would stop, and who waits for it with it.
// The text is the one that engines match on for `exec` into a paused container.
var ErrFrozen = errors.New("container paused")

// ErrFull is the error of [Manager.SpawnInto] where the limit of processes has refused one.
var ErrFull = errors.New("the container has as many processes as linux.resources.pids.limit allows")

// A ResourceError says which resource could not be set: the setting, the file it was meant for, and why. A [specconv.FieldError]
// around it has the field.
type ResourceError struct {
	Controller string // "memory"
	File       string // absolute path of the control file; "" when there is none
	Value      string // what was to be written
	Err        error
}

func (e *ResourceError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("cgroup controller %s: %v", e.Controller, e.Err)
	}
	return fmt.Sprintf("cgroup controller %s: write %q to %s: %v", e.Controller, e.Value, e.File, e.Err)
}

func resourceError(field string, e ResourceError) error {
	return &specconv.FieldError{Path: field, Err: &e}
}

// Unwrap returns Err.
func (e *ResourceError) Unwrap() error { return e.Err }
