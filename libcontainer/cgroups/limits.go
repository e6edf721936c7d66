package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

// limits are what resources become in a container's cgroup.
type limits struct {
	list    []setting
	rules   []deviceRule // nil: devices stay as they are
	devices deviceList   // the rules as v1 has them
	live    bool         // the cgroup may have processes and rules already
}

// limits works out what is to be written, and finds all that can be wrong with the configuration, before anything is made. With live
// a cgroup is changed that has all limits: what r does not set stays.
func (m *Manager) limits(r *specs.LinuxResources, live bool) (*limits, error) {
	l := &limits{live: live}
	var err error
	if l.list, err = settings(r, m.version, live); err != nil {
		return nil, err
	}
	for i := range l.list {
		if s := &l.list[i]; m.folderOf(s) == nil {
			return nil, s.refused(errNoController)
		}
	}
	if !m.devicesLeft && (!live || r != nil && len(r.Devices) > 0) {
		if err := m.deviceLimits(l, r); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (m *Manager) deviceLimits(l *limits, r *specs.LinuxResources) (err error) {
	if l.rules, err = deviceRules(r); err != nil {
		return err
	}
	f, v := m.place("devices")
	if f == nil && denies(l.rules) {
		// A container whose devices nobody guards has the host's disks.
		return resourceError(devicesField, ResourceError{Controller: "devices", Err: errNoController})
	}
	if v == v1 {
		l.devices, err = newDeviceList(l.rules)
	}
	return err
}

// apply writes the limits: the list by write.
func (m *Manager) apply(r *specs.LinuxResources, l *limits, write func([]setting) error) error {
	if m.unified.dir != "" {
		if err := m.delegate(l.list); err != nil {
			return err
		}
	}
	if l.live {
		if err := m.checkUsage(r); err != nil {
			return err
		}
	}
	if err := write(l.list); err != nil {
		return err
	}
	return m.setDevices(l)
}
