package cgroups

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// withHint adds to the kernel's error what it means for this control file, where that is not plain.
// It may read other files.
func withHint(dir, file string, err error) error {
	if text := hint(dir, file, err); text != "" {
		return fmt.Errorf("%w (%s)", err, text)
	}
	return err
}

func hint(dir, file string, err error) string {
	switch err {
	case unix.ENOENT:
		if !exists(dir) {
			return ""
		}
		return absenceHint(dir, file)
	case unix.EINVAL:
		return refusalHint(dir, file)
	case unix.EBUSY:
		switch file {
		case "memory.limit_in_bytes":
			return usage(dir, "memory.usage_in_bytes", "in use: %d bytes, of which not enough could be freed")
		case "memory.memsw.limit_in_bytes":
			return usage(dir, "memory.memsw.usage_in_bytes", "in use: %d bytes, of which not enough could be freed")
		case "cpuset.cpus", "cpuset.mems":
			return "a cgroup below uses more"
		}
	case unix.EACCES:
		if file == "cpuset.cpus" || file == "cpuset.mems" {
			return "the cgroup above has less"
		}
	case unix.EPERM:
		if file == "devices.allow" {
			return "the cgroup above does not allow it"
		}
	case unix.EOPNOTSUPP:
		if strings.HasSuffix(file, "weight") || strings.HasSuffix(file, "weight_device") {
			return "this device has no weights: BFQ is not its I/O scheduler, and io.cost is not enabled for it"
		}
	}
	return ""
}

func absenceHint(dir, file string) string {
	for _, absent := range [...]struct{ prefix, hint string }{
		{"blkio.leaf_weight", "leaf weights were removed with the CFQ scheduler in kernel 5.0"},
		{"blkio.bfq.weight", "the kernel has no I/O scheduler with weights: BFQ"},
		{"io.bfq.weight", "the kernel has no I/O weights: neither BFQ nor io.cost"},
		{"memory.memsw.", "the kernel does not account swap"},
		{"memory.swap.", "the kernel does not account swap"},
		{"cpu.rt_", "the kernel has no real-time group scheduling"},
		{"cpu.idle", "requires kernel 5.15"},
		{"cpu.cfs_burst_us", "requires kernel 5.14"},
		{"cpu.max.burst", "requires kernel 5.14"},
	} {
		if strings.HasPrefix(file, absent.prefix) {
			return absent.hint
		}
	}
	c := counters{dir: dir}
	if sizes := c.pageSizes(path.Ext(file)); sizes != nil && strings.HasPrefix(file, "hugetlb.") {
		return "this machine's sizes of huge pages: " + strings.Join(sizes, ", ")
	}
	return "the kernel does not provide this file here"
}

func refusalHint(dir, file string) string {
	switch file {
	case "memory.limit_in_bytes":
		return usage(dir, "memory.memsw.limit_in_bytes", "memory and swap together are limited to %d, and this must not be more")
	case "memory.memsw.limit_in_bytes":
		return usage(dir, "memory.limit_in_bytes", "memory is limited to %d, and with swap together it must not be less")
	case "cpu.rt_runtime_us", "cpu.rt_period_us":
		return "the cgroups above must have as much real-time runtime, and processes in this one need some"
	case "cpu.shares", "cpu.weight":
		if idle, ok := readNumber(dir + "/cpu.idle"); ok && idle == 1 {
			return "the cgroup is idle (cpu.idle)"
		}
	case "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.max", "cpu.max.burst":
		return "period: 1000 to 1000000; quota: 1000 at least, and of the period no more than cgroups above have; burst: no more than the quota"
	}
	return ""
}

func usage(dir, file, format string) string {
	n, ok := readNumber(dir + "/" + file)
	if !ok {
		return ""
	}
	return fmt.Sprintf(format, n)
}

// subtreeHint says why the kernel refuses to enable a controller for the cgroups below
// (cgroup-v2.rst, "Controlling Controllers" and "Issues with the cpu controller").
func subtreeHint(controller string, err error) string {
	switch {
	case err == unix.EBUSY:
		return "a cgroup with processes of its own cannot enable controllers for those below"
	case err == unix.EINVAL && controller == "cpu":
		return "a process below the root has a real-time policy"
	case err == unix.EOPNOTSUPP:
		return "threaded cgroups have cpu, cpuset, perf_event and pids only"
	case err == unix.EACCES || err == unix.EPERM:
		return "the cgroup belongs to another user"
	}
	return ""
}
