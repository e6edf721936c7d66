package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

// A Value is the value of a control file.
type Value struct {
	File  string // "memory.max"
	Value string
}

// Values returns what Create or Limit would write for r, except for devices, in the same order.
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
