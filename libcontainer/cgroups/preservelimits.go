package cgroups

import (
	"errors"
	"path"
	"strings"
)

// PreserveLimits calls change, and then restores the limits that systemd overwrote. When a property
// changes, systemd writes everything that it knows of the controller, in its own units, which for
// example cannot express less than a hundredth of processor time.
func (m *Manager) PreserveLimits(change func() error) error {
	type kept struct{ path, value string }
	var before []kept
	for _, f := range m.all() {
		for _, name := range preservedFiles() {
			if value, err := readFile(f.dir + "/" + name); err == nil {
				before = append(before, kept{f.dir + "/" + name, value})
			}
		}
	}
	errs := []error{change()}
	for _, k := range before {
		if now, err := readFile(k.path); err != nil || now == k.value {
			continue
		}
		if err := writeFile(k.path, strings.TrimSpace(k.value)); err != nil {
			controller, _, _ := strings.Cut(path.Base(k.path), ".")
			errs = append(errs, resourceError("linux.resources", ResourceError{Controller: controller, File: k.path, Value: strings.TrimSpace(k.value), Err: err}))
		}
	}
	return errors.Join(errs...)
}

// preservedFiles are the files with one value each that systemd writes in a unit's cgroup. The
// limit of memory comes before and after that of memory and swap, because either order may be the
// right one.
func preservedFiles() [20]string {
	return [...]string{
		"cpu.idle", "cpu.weight", "cpu.max", "cpuset.cpus", "cpuset.mems", "io.weight", "io.bfq.weight",
		"memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max", "memory.oom.group", "pids.max",
		"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "blkio.bfq.weight",
	}
}
