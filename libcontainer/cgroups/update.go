package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Update changes the limits of a live cgroup: those of r that are set, and no others. Devices change when r lists any, and then all
// rules are replaced.
//
// What is wrong with r comes out before anything is written. A limit that cannot be set is a *ResourceError; those before it
// have been set then.
func (m *Manager) Update(r *specs.LinuxResources) error {
	list, err := settings(r, m.version)
	if err != nil {
		return err
	}
	var rules []deviceRule
	if r != nil && len(r.Devices) > 0 {
		if rules, err = deviceRules(r); err != nil {
			return err
		}
		devices, err := m.deviceSettings(rules)
		if err != nil {
			return err
		}
		list = append(list, devices...)
	}
	if err := m.write(list); err != nil {
		return err
	}
	if rules == nil {
		return nil
	}
	return m.attachDeviceRules(rules)
}
