package cgroups

import "errors"

// PreserveLimits calls change, and then restores the limits that systemd overwrote. When a property
// changes, systemd writes everything that it knows of the controller, in its own units, which for
// example cannot express less than a hundredth of processor time.
func (m *Manager) PreserveLimits(change func() error) error {
	var before Before
	for _, f := range m.all() {
		for _, name := range preservedFiles() {
			before.file(f.dir, name)
		}
	}
	errs := []error{change()}
	for _, f := range m.all() {
		errs = append(errs, before.restore(f.dir)...)
	}
	return errors.Join(errs...)
}

// preservedFiles are the files that systemd writes in a unit's cgroup.
func preservedFiles() [20]string {
	return [...]string{
		"cpu.idle", "cpu.weight", "cpu.max", "cpuset.cpus", "cpuset.mems", "io.weight", "io.bfq.weight",
		"memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max", "memory.oom.group", "pids.max",
		"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "blkio.bfq.weight",
	}
}
