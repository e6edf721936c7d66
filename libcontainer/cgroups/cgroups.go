// Package cgroups puts a container's processes under the kernel's resource controls.
//
// A [Layout] describes the cgroup hierarchies of this host. A [Manager] is one container's cgroup
// in each of them: it makes the directories and writes the limits ([Manager.Create]), starts
// processes inside ([Manager.Spawn]), finds, signals and freezes them, and removes the directories
// ([Manager.Delete]).
//
// In the common cases no PID is written to cgroup.procs, because that waits for an RCU grace
// period, 10 ms and more. See [Manager.Spawn] for the alternatives.
//
// A pure function per controller (memory.go, cpu.go, ...), one for cgroup v1 and one for cgroup2,
// turns resources into (file, value) pairs; one loop writes them (resources.go).
package cgroups

import (
	"errors"
	"fmt"

	"github.com/orlop/orlop/specconv"
)

// ErrFrozen means that the cgroup is frozen: a process that joins it would stop, and so would a
// caller that waits for the process. Engines match on the text for `exec` into a paused container.
var ErrFrozen = errors.New("container paused")

// ErrFull is the error of [Manager.SpawnInto] when the limit of processes is reached.
var ErrFull = errors.New("the container has as many processes as linux.resources.pids.limit allows")

// A ResourceError says which resource could not be set, in which file, and why. A
// [specconv.FieldError] around it names the field.
type ResourceError struct {
	Controller string // "memory"
	File       string // absolute path of the control file; "" when there is none
	Value      string // the value to be written
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
