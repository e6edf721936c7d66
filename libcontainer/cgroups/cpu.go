package cgroups

import (
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cpuV1: kernel documents scheduler/sched-bwc.rst and sched-rt-group.rst.
func cpuV1(s []setting, r *specs.LinuxCPU) []setting {
	add := func(file, value, field string) {
		// A quota must not be less than the burst, nor a period make the ratio of both exceed the parent's: the
		// right order depends on the values of before.
		s = append(s, setting{"cpu", file, value, "linux.resources.cpu." + field, true})
	}
	if isSet(r.Shares) {
		add("cpu.shares", utoa(*r.Shares), "shares")
	}
	if isSet(r.Period) {
		add("cpu.cfs_period_us", utoa(*r.Period), "period")
	}
	if isSet(r.Quota) {
		add("cpu.cfs_quota_us", itoa(*r.Quota), "quota")
	}
	if r.Burst != nil {
		add("cpu.cfs_burst_us", utoa(*r.Burst), "burst")
	}
	if isSet(r.RealtimePeriod) {
		add("cpu.rt_period_us", utoa(*r.RealtimePeriod), "realtimePeriod")
	}
	if isSet(r.RealtimeRuntime) {
		add("cpu.rt_runtime_us", itoa(*r.RealtimeRuntime), "realtimeRuntime")
	}
	if r.Idle != nil {
		add("cpu.idle", itoa(*r.Idle), "idle")
	}
	return s
}

// cpuV2: kernel document cgroup-v2.rst, "CPU Interface Files". Real-time group scheduling is v1's alone.
func cpuV2(s []setting, r *specs.LinuxCPU) []setting {
	add := func(file, value, field string) {
		s = append(s, setting{"cpu", file, value, "linux.resources.cpu." + field, true})
	}
	if r.Idle != nil {
		add("cpu.idle", itoa(*r.Idle), "idle")
	}
	// An idle cgroup has no weight: the kernel refuses to set one.
	if isSet(r.Shares) && (r.Idle == nil || *r.Idle == 0) {
		add("cpu.weight", utoa(weight(*r.Shares)), "shares")
	}
	if isSet(r.Quota) || isSet(r.Period) {
		quota, period, field := "max", "100000", "period"
		if isSet(r.Quota) {
			quota, field = orMax(*r.Quota), "quota"
		}
		if isSet(r.Period) {
			period = utoa(*r.Period)
		}
		add("cpu.max", quota+" "+period, field)
	}
	if r.Burst != nil {
		add("cpu.max.burst", utoa(*r.Burst), "burst")
	}
	return s
}

// weight converts cpu shares (2 to 262144, by default 1024) to cgroup2's cpu.weight (1 to 10000, by default 100). The curve is
// the one that runc and crun use since 2025: quadratic in the exponent, through the least, the default and the greatest
// value of both. The linear one of before made the default 39.
func weight(shares uint64) uint64 {
	if shares <= 2 {
		return 1
	}
	if shares >= 262144 {
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}
