package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

// limits are a container's resources, translated for its cgroup.
type limits struct {
	list    []setting
	rules   []deviceRule // nil: devices stay as they are
	devices deviceList   // the rules in v1's form
	live    bool         // the cgroup may have processes and rules already
}

// limits computes the writes, and finds every error in the configuration, before anything is made.
// live is set for an existing cgroup with all limits: what r does not set stays.
func (m *Manager) limits(r *specs.LinuxResources, live bool) (*limits, error) {
	l := &limits{live: live}
	var err error
	if l.list, err = settings(r, m.version, live); err != nil {
		return nil, err
	}
	for i := range l.list {
		if s := &l.list[i]; m.directoryOf(s) == nil {
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
	f, v := m.controllerDirectory("devices")
	if f == nil && denies(l.rules) {
		// Without device rules a container could use the host's disks.
		return resourceError(devicesField, ResourceError{Controller: "devices", Err: errNoController})
	}
	if v == v1 {
		l.devices, err = newDeviceList(l.rules)
	}
	return err
}

// apply writes the limits, the list by means of write.
func (m *Manager) apply(r *specs.LinuxResources, l *limits, write func([]setting) error) error {
	if m.unified.dir != "" {
		if err := m.enableControllers(l.list); err != nil {
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
