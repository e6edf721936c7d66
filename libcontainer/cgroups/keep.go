package cgroups

import (
	"errors"
	"path"
	"strings"
)

// Keep does change, and puts back what that has made of the limits: a change of a property has systemd write all that it has of a controller, in its own
// terms, which know no processor time finer than a hundredth, for one.
func (m *Manager) Keep(change func() error) error {
	type kept struct{ path, value string }
	var before []kept
	m.all(func(f *folder) error {
		for _, name := range keptFiles() {
			if value, err := readFile(f.dir + "/" + name); err == nil {
				before = append(before, kept{f.dir + "/" + name, value})
			}
		}
		return nil
	})
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

// keptFiles are those that systemd writes in a unit's cgroup and that hold one value each. The limit of memory stands before and after that
// of memory and swap: one of both orders is right.
func keptFiles() [20]string {
	return [...]string{
		"cpu.idle", "cpu.weight", "cpu.max", "cpuset.cpus", "cpuset.mems", "io.weight", "io.bfq.weight",
		"memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max", "memory.oom.group", "pids.max",
		"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "blkio.bfq.weight",
	}
}
