package cgroups

import (
	"errors"
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	cpuField = "linux.resources.cpu."

	// The kernel's MIN_SHARES and MAX_SHARES.
	minShares = 2
	maxShares = 1 << 18
)

// cpuV1: kernel documents scheduler/sched-bwc.rst and sched-rt-group.rst.
//
// A quota must not be less than the burst, a period must not make the ratio of both exceed the
// parent's, an idle cgroup does not accept shares, and the real-time runtime must fit into its
// period. The right order depends on the previous values, so failed writes are tried again.
func (s *settingList) cpuV1(r *specs.LinuxCPU) {
	switch {
	case isSet(r.Shares) && *r.Shares < minShares:
		s.fault("cpu", cpuField+"shares", utoa(*r.Shares), errors.New("the minimum allowed cpu-shares is "+utoa(minShares)))
	case isSet(r.Shares) && *r.Shares > maxShares:
		s.fault("cpu", cpuField+"shares", utoa(*r.Shares), errors.New("the maximum allowed cpu-shares is "+utoa(maxShares)))
	default:
		addNumber(s, "cpu.shares", r.Shares, cpuField+"shares")
	}
	addNumber(s, "cpu.cfs_period_us", r.Period, cpuField+"period")
	addNumber(s, "cpu.cfs_quota_us", r.Quota, cpuField+"quota")
	s.burstAndIdle(r, "cpu.cfs_burst_us")
	addNumber(s, "cpu.rt_period_us", r.RealtimePeriod, cpuField+"realtimePeriod")
	if isSet(r.RealtimeRuntime) {
		s.add("cpu.rt_runtime_us", itoa(*r.RealtimeRuntime), cpuField+"realtimeRuntime").lingers = true
	}
}

// cpuV2: kernel document cgroup-v2.rst, "CPU Interface Files". Only v1 has real-time group
// scheduling.
func (s *settingList) cpuV2(r *specs.LinuxCPU) {
	// The kernel refuses to set a weight in an idle cgroup.
	if isSet(r.Shares) && (r.Idle == nil || *r.Idle == 0) {
		s.add("cpu.weight", utoa(weight(*r.Shares)), cpuField+"shares")
	}
	switch {
	case isSet(r.Quota) && isSet(r.Period):
		s.add("cpu.max", orMax(*r.Quota)+" "+utoa(*r.Period), cpuField+"quota")
	case isSet(r.Quota): // the period stays
		s.add("cpu.max", orMax(*r.Quota), cpuField+"quota")
	case isSet(r.Period):
		s.add("cpu.max", "max "+utoa(*r.Period), cpuField+"period")
	}
	s.burstAndIdle(r, "cpu.max.burst")
	s.onlyV1(isSet(r.RealtimePeriod), "cpu", cpuField+"realtimePeriod")
	s.onlyV1(isSet(r.RealtimeRuntime), "cpu", cpuField+"realtimeRuntime")
}

// burstAndIdle: kernels before 5.14 do not have bursts, and kernels before 5.15 do not have idle
// groups; there both are 0.
func (s *settingList) burstAndIdle(r *specs.LinuxCPU, burst string) {
	if r.Burst != nil {
		s.add(burst, utoa(*r.Burst), cpuField+"burst").optional = *r.Burst == 0
	}
	if r.Idle != nil {
		s.add("cpu.idle", itoa(*r.Idle), cpuField+"idle").optional = *r.Idle == 0
	}
}

// weight converts CPU shares (2 to 262144, by default 1024) to cgroup2's cpu.weight (1 to 10000, by
// default 100). The curve is the one that runc and crun use since 2025: quadratic in the exponent,
// through the minimum, the default and the maximum of both. The former linear one mapped the
// default to 39.
func weight(shares uint64) uint64 {
	if shares <= minShares {
		return 1
	}
	if shares >= maxShares {
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}
