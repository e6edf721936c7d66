package cgroups

import (
	"errors"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// memoryV1: kernel document cgroup-v1/memory.rst. linux.resources.memory.useHierarchy is always so since kernel 5.11.
func memoryV1(s []setting, r *specs.LinuxMemory) []setting {
	add := func(file, value, field string, againLast bool) {
		s = append(s, setting{"memory", file, value, "linux.resources.memory." + field, againLast})
	}
	if isSet(r.Limit) {
		add("memory.limit_in_bytes", itoa(*r.Limit), "limit", true)
	}
	switch {
	case isSet(r.Swap):
		add("memory.memsw.limit_in_bytes", itoa(*r.Swap), "swap", true)
	case isSet(r.Limit) && *r.Limit < 0:
		// Unlimited memory with a limit on memory and swap together is a contradiction that only update could make.
		add("memory.memsw.limit_in_bytes", "-1", "limit", true)
	}
	if isSet(r.Reservation) {
		add("memory.soft_limit_in_bytes", itoa(*r.Reservation), "reservation", false)
	}
	if isSet(r.KernelTCP) {
		add("memory.kmem.tcp.limit_in_bytes", itoa(*r.KernelTCP), "kernelTCP", false)
	}
	if r.Swappiness != nil {
		add("memory.swappiness", utoa(*r.Swappiness), "swappiness", false)
	}
	if r.DisableOOMKiller != nil && *r.DisableOOMKiller {
		add("memory.oom_control", "1", "disableOOMKiller", false)
	}
	return s
}

// memoryV2: kernel document cgroup-v2.rst, "Memory Interface Files". What v1 alone has (kernelTCP, swappiness,
// disableOOMKiller) is passed over, as other runtimes do: engines send it without a look at the host.
func memoryV2(s []setting, r *specs.LinuxMemory) ([]setting, error) {
	add := func(file string, value int64, field string) {
		s = append(s, setting{"memory", file, orMax(value), "linux.resources.memory." + field, false})
	}
	var limit int64
	if r.Limit != nil {
		limit = *r.Limit
	}
	swap := int64(0)
	if r.Swap != nil {
		swap = *r.Swap
	}
	switch {
	case swap > 0 && limit <= 0:
		return nil, &ResourceError{Field: "linux.resources.memory.swap", Controller: "memory", Value: itoa(swap),
			Err: errors.New("limits memory and swap together, so it needs linux.resources.memory.limit")}
	case swap > 0 && swap < limit:
		return nil, &ResourceError{Field: "linux.resources.memory.swap", Controller: "memory", Value: itoa(swap),
			Err: errors.New("limits memory and swap together, so it must not be less than linux.resources.memory.limit")}
	case swap > 0:
		add("memory.swap.max", swap-limit, "swap")
	case swap < 0:
		add("memory.swap.max", -1, "swap")
	case limit < 0:
		add("memory.swap.max", -1, "limit")
	}
	if limit != 0 {
		add("memory.max", limit, "limit")
	}
	if isSet(r.Reservation) {
		add("memory.low", *r.Reservation, "reservation")
	}
	return s, nil
}

// orMax: cgroup2 says "max" where the configuration and v1 say -1.
func orMax(value int64) string {
	if value < 0 {
		return "max"
	}
	return itoa(value)
}

func itoa(n int64) string  { return strconv.FormatInt(n, 10) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }
