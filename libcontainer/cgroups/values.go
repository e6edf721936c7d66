package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

// A Value is what a control file is to hold.
type Value struct {
	File  string // "memory.max"
	Value string
}

// Values gives what Create or Limit would write for r, but for devices, in the order in which it would.
func (m *Manager) Values(r *specs.LinuxResources) ([]Value, error) {
	list, err := settings(r, m.version, false)
	if err != nil {
		return nil, err
	}
	values := make([]Value, len(list))
	for i := range list {
		values[i] = Value{list[i].file, list[i].value}
	}
	return values, nil
}
