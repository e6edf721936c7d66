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
	add := func(file, value, field string) {
		s.add(setting{controller: "cpu", file: file, value: value, field: cpuField + field, again: true})
	}
	if isSet(r.Shares) {
		switch {
		case *r.Shares < minShares:
			s.fault("cpu", cpuField+"shares", utoa(*r.Shares), errors.New("the minimum allowed cpu-shares is "+utoa(minShares)))
		case *r.Shares > maxShares:
			s.fault("cpu", cpuField+"shares", utoa(*r.Shares), errors.New("the maximum allowed cpu-shares is "+utoa(maxShares)))
		default:
			add("cpu.shares", utoa(*r.Shares), "shares")
		}
	}
	if isSet(r.Period) {
		add("cpu.cfs_period_us", utoa(*r.Period), "period")
	}
	if isSet(r.Quota) {
		add("cpu.cfs_quota_us", itoa(*r.Quota), "quota")
	}
	s.burstAndIdle(r, "cpu.cfs_burst_us")
	if isSet(r.RealtimePeriod) {
		add("cpu.rt_period_us", utoa(*r.RealtimePeriod), "realtimePeriod")
	}
	if isSet(r.RealtimeRuntime) {
		s.add(setting{controller: "cpu", file: "cpu.rt_runtime_us", value: itoa(*r.RealtimeRuntime), field: cpuField + "realtimeRuntime",
			again: true, lingers: true})
	}
}

// cpuV2: kernel document cgroup-v2.rst, "CPU Interface Files". Only v1 has real-time group
// scheduling.
func (s *settingList) cpuV2(r *specs.LinuxCPU) {
	// The kernel refuses to set a weight in an idle cgroup.
	if isSet(r.Shares) && (r.Idle == nil || *r.Idle == 0) {
		s.add(setting{controller: "cpu", file: "cpu.weight", value: utoa(weight(*r.Shares)), field: cpuField + "shares", again: true})
	}
	limit := setting{controller: "cpu", file: "cpu.max", again: true}
	switch {
	case isSet(r.Quota) && isSet(r.Period):
		limit.value, limit.field = orMax(*r.Quota)+" "+utoa(*r.Period), cpuField+"quota"
		s.add(limit)
	case isSet(r.Quota): // the period stays
		limit.value, limit.field = orMax(*r.Quota), cpuField+"quota"
		s.add(limit)
	case isSet(r.Period):
		limit.value, limit.field = "max "+utoa(*r.Period), cpuField+"period"
		s.add(limit)
	}
	s.burstAndIdle(r, "cpu.max.burst")
	s.onlyV1(isSet(r.RealtimePeriod), "cpu", cpuField+"realtimePeriod")
	s.onlyV1(isSet(r.RealtimeRuntime), "cpu", cpuField+"realtimeRuntime")
}

// burstAndIdle: kernels before 5.14 do not have bursts, and kernels before 5.15 do not have idle
// groups; there both are 0.
func (s *settingList) burstAndIdle(r *specs.LinuxCPU, burst string) {
	if r.Burst != nil {
		s.add(setting{controller: "cpu", file: burst, value: utoa(*r.Burst), field: cpuField + "burst", again: true, optional: *r.Burst == 0})
	}
	if r.Idle != nil {
		s.add(setting{controller: "cpu", file: "cpu.idle", value: itoa(*r.Idle), field: cpuField + "idle", again: true, optional: *r.Idle == 0})
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
