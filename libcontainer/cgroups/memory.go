package cgroups

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const memoryField = "linux.resources.memory."

// memoryV1: kernel document cgroup-v1/memory.rst.
func (s *settingList) memoryV1(r *specs.LinuxMemory) {
	add := func(file, value, field string) {
		s.add(setting{controller: "memory", file: file, value: value, field: memoryField + field})
	}
	if r.UseHierarchy != nil && *r.UseHierarchy {
		// Always on since kernel 5.11. Before, it must be set while there are no cgroups below.
		s.add(setting{controller: "memory", file: "memory.use_hierarchy", value: "1", field: memoryField + "useHierarchy", optional: true})
	}
	if isSet(r.Limit) {
		s.add(setting{controller: "memory", file: "memory.limit_in_bytes", value: itoa(*r.Limit), field: memoryField + "limit", again: true})
	}
	// Without swap accounting (boot parameter swapaccount=0) there is no such file, and no limit.
	memsw := setting{controller: "memory", file: "memory.memsw.limit_in_bytes", field: memoryField + "swap", again: true}
	switch {
	case isSet(r.Swap):
		memsw.value, memsw.optional = itoa(*r.Swap), *r.Swap < 0
		s.add(memsw)
	case isSet(r.Limit) && *r.Limit < 0:
		// Unlimited memory contradicts a limit on memory and swap together, which only an update
		// could produce.
		memsw.value, memsw.optional, memsw.field = "-1", true, memoryField+"limit"
		s.add(memsw)
	}
	if isSet(r.Reservation) {
		add("memory.soft_limit_in_bytes", itoa(*r.Reservation), "reservation")
	}
	if isSet(r.KernelTCP) {
		add("memory.kmem.tcp.limit_in_bytes", itoa(*r.KernelTCP), "kernelTCP")
	}
	if hasSwappiness(r) {
		add("memory.swappiness", utoa(*r.Swappiness), "swappiness")
	}
	switch disable := r.DisableOOMKiller; {
	case disable != nil && *disable:
		add("memory.oom_control", "1", "disableOOMKiller")
	case disable != nil && s.live:
		add("memory.oom_control", "0", "disableOOMKiller")
	}
}

// hasSwappiness: old versions of Docker write -1, unsigned, for "not set".
func hasSwappiness(r *specs.LinuxMemory) bool {
	return r.Swappiness != nil && *r.Swappiness != math.MaxUint64
}

// memoryV2: kernel document cgroup-v2.rst, "Memory Interface Files".
func (s *settingList) memoryV2(r *specs.LinuxMemory) {
	s.swapV2(r)
	if isSet(r.Limit) {
		s.add(setting{controller: "memory", file: "memory.max", value: orMax(*r.Limit), field: memoryField + "limit"})
	}
	if isSet(r.Reservation) {
		s.add(setting{controller: "memory", file: "memory.low", value: orMax(*r.Reservation), field: memoryField + "reservation"})
	}
	s.onlyV1(isSet(r.KernelTCP), "memory", memoryField+"kernelTCP")
	s.onlyV1(hasSwappiness(r), "memory", memoryField+"swappiness")
	s.onlyV1(r.DisableOOMKiller != nil && *r.DisableOOMKiller, "memory", memoryField+"disableOOMKiller")
}

// swapV2: the configuration limits memory and swap together, as v1 does; cgroup2 limits swap alone.
func (s *settingList) swapV2(r *specs.LinuxMemory) {
	var limit, swap int64
	if r.Limit != nil {
		limit = *r.Limit
	}
	if r.Swap != nil {
		swap = *r.Swap
	}
	x := setting{controller: "memory", file: "memory.swap.max", field: memoryField + "swap"}
	switch {
	case swap > 0 && limit <= 0:
		s.fault("memory", x.field, itoa(swap), errors.New("limits memory and swap together, so it needs "+memoryField+"limit"))
		return
	case swap > 0 && swap < limit:
		s.fault("memory", x.field, itoa(swap), errors.New("limits memory and swap together, so it must not be less than "+memoryField+"limit"))
		return
	case swap > 0:
		x.value = itoa(swap - limit)
	case swap < 0:
		x.value = "max"
	case limit < 0:
		x.value, x.field = "max", memoryField+"limit"
	default:
		return
	}
	// A kernel without swap or swap accounting has no such file.
	x.optional = x.value == "max" || x.value == "0"
	s.add(x)
}

// checkUsage rejects a limit below the current usage if memory.checkBeforeUpdate asks for it. v1
// does so itself; cgroup2 accepts such a limit, and kills processes to enforce it.
func (m *Manager) checkUsage(r *specs.LinuxResources) error {
	if r == nil || r.Memory == nil || r.Memory.CheckBeforeUpdate == nil || !*r.Memory.CheckBeforeUpdate ||
		r.Memory.Limit == nil || *r.Memory.Limit <= 0 || m.version("memory") != v2 {
		return nil
	}
	limit := *r.Memory.Limit
	usage, ok := readNumber(m.unified.dir + "/memory.current")
	if ok && usage > limit {
		return resourceError(memoryField+"limit", ResourceError{Controller: "memory", File: m.unified.dir + "/memory.max", Value: itoa(limit),
			Err: fmt.Errorf("less than the %d bytes in use (%scheckBeforeUpdate)", usage, memoryField)})
	}
	return nil
}

// readNumber reads a control file with one number; false means that it cannot be read, or contains
// something else ("max").
func readNumber(path string) (int64, bool) {
	text, err := readFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}
