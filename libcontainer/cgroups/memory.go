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
	if r.UseHierarchy != nil && *r.UseHierarchy {
		// Always on since kernel 5.11. Before, it must be set while there are no cgroups below.
		s.add("memory.use_hierarchy", "1", memoryField+"useHierarchy").optional = true
	}
	if isSet(r.Limit) {
		s.add("memory.limit_in_bytes", itoa(*r.Limit), memoryField+"limit").again = true
	}
	// Without swap accounting (boot parameter swapaccount=0) there is no such file, and no limit.
	const memsw = "memory.memsw.limit_in_bytes"
	switch {
	case isSet(r.Swap):
		x := s.add(memsw, itoa(*r.Swap), memoryField+"swap")
		x.again, x.optional = true, *r.Swap < 0
	case isSet(r.Limit) && *r.Limit < 0:
		// Unlimited memory contradicts a limit on memory and swap together, which only an update
		// could produce.
		x := s.add(memsw, "-1", memoryField+"limit")
		x.again, x.optional = true, true
	}
	addNumber(s, "memory.soft_limit_in_bytes", r.Reservation, memoryField+"reservation")
	addNumber(s, "memory.kmem.tcp.limit_in_bytes", r.KernelTCP, memoryField+"kernelTCP")
	if hasSwappiness(r) {
		s.add("memory.swappiness", utoa(*r.Swappiness), memoryField+"swappiness")
	}
	switch disable := r.DisableOOMKiller; {
	case disable != nil && *disable:
		s.add("memory.oom_control", "1", memoryField+"disableOOMKiller")
	case disable != nil && s.live:
		s.add("memory.oom_control", "0", memoryField+"disableOOMKiller")
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
		s.add("memory.max", orMax(*r.Limit), memoryField+"limit")
	}
	if isSet(r.Reservation) {
		s.add("memory.low", orMax(*r.Reservation), memoryField+"reservation")
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
	field, value := memoryField+"swap", "max"
	switch {
	case swap > 0 && limit <= 0:
		s.fault("memory", field, itoa(swap), errors.New("limits memory and swap together, so it needs "+memoryField+"limit"))
		return
	case swap > 0 && swap < limit:
		s.fault("memory", field, itoa(swap), errors.New("limits memory and swap together, so it must not be less than "+memoryField+"limit"))
		return
	case swap > 0:
		value = itoa(swap - limit)
	case swap == 0 && limit < 0:
		field = memoryField + "limit"
	case swap == 0:
		return
	}
	// A kernel without swap or swap accounting has no such file.
	s.add("memory.swap.max", value, field).optional = value == "max" || value == "0"
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
