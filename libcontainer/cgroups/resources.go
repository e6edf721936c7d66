package cgroups

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// version is the kind of hierarchy that has a controller.
type version int

const (
	v1 version = 1
	v2 version = 2
)

// A setting is one write to one control file.
//
// To support another resource, write functions that turn it into settings in a file for its
// controller, call them in [settings], and add a case to testdata/settings for both versions. A
// test in kernel_test.go shows what the kernel accepts.
type setting struct {
	controller string // selects the directory
	file       string // "memory.limit_in_bytes"
	value      string
	field      string // the configuration's field that it comes from

	// again is set if the kernel's answer depends on another setting of the controller
	// (memory.limit_in_bytes must not exceed memory.memsw.limit_in_bytes). After EINVAL it is
	// written again after the controller's other settings, so one order serves for raising and for
	// lowering.
	again bool

	// otherFile gets otherValue if the kernel does not have file: the same setting under another
	// name.
	otherFile, otherValue string

	// lingers is set if a removed cgroup keeps its share of the parent's resource until the kernel
	// has freed it. After EINVAL the write is retried for a while.
	lingers bool

	optional bool // a missing file means the same as this value
	unified  bool // for the cgroup2 directory, even if a v1 hierarchy has the controller
}

const (
	// lingerTries times lingerPause is how long removed cgroups may take. Usually it is 15 ms, a
	// few RCU grace periods; on a busy machine it is more.
	lingerTries = 100
	lingerPause = 5 * time.Millisecond
)

// settings turns resources into writes; at returns the version that has a controller. live is set
// for a cgroup that already has limits: then a setting is written even if it is the kernel's
// default. Devices are handled separately, in [deviceRules]: on cgroup2 they have no file.
func settings(r *specs.LinuxResources, at func(controller string) version, live bool) ([]setting, error) {
	if r == nil {
		return nil, nil
	}
	s := settingList{list: make([]setting, 0, 24), live: live}
	if r.Memory != nil {
		if at("memory") == v1 {
			s.memoryV1(r.Memory)
		} else {
			s.memoryV2(r.Memory)
		}
	}
	if r.CPU != nil {
		if at("cpu") == v1 {
			s.cpuV1(r.CPU)
		} else {
			s.cpuV2(r.CPU)
		}
		s.cpuset(r.CPU)
	}
	if r.Pids != nil {
		s.pids(r.Pids)
	}
	if r.BlockIO != nil {
		s.io(r.BlockIO, at("blkio"))
	}
	if r.HugepageLimits != nil {
		s.hugetlb(r.HugepageLimits, at("hugetlb"))
	}
	if r.Network != nil {
		s.netCls(r.Network, at("net_cls"))
		s.netPrio(r.Network, at("net_prio"))
	}
	if r.Rdma != nil {
		s.rdma(r.Rdma)
	}
	if r.Unified != nil {
		s.unified(r.Unified, at)
	}
	return s.list, errors.Join(s.faults...)
}

// refused returns the error of a setting that the host does not support.
func (s *setting) refused(err error) error {
	return resourceError(s.field, ResourceError{Controller: s.controller, Value: s.value, Err: err})
}

// settingList collects settings, and the faults of those that are invalid.
type settingList struct {
	list   []setting
	live   bool // see settings
	faults []error
}

// add adds a setting of a control file, whose name begins with the controller's. cpuV1 says why all
// of cpu are tried again.
func (s *settingList) add(file, value, field string) *setting {
	controller, _, _ := strings.Cut(file, ".")
	s.list = append(s.list, setting{controller: controller, file: file, value: value, field: field, again: controller == "cpu"})
	return &s.list[len(s.list)-1]
}

// addNumber adds a setting if the configuration has a number for it.
func addNumber[T number](s *settingList, file string, value *T, field string) {
	if isSet(value) {
		s.add(file, fmt.Sprint(*value), field)
	}
}

func (s *settingList) fault(controller, field, value string, err error) {
	s.faults = append(s.faults, resourceError(field, ResourceError{Controller: controller, Value: value, Err: err}))
}

// onlyV1 adds a fault for a setting that cgroup2 has no equivalent of. The specification requires
// an error (config-linux.md, "Unified"); runc ignores such a setting.
func (s *settingList) onlyV1(set bool, controller, field string) {
	if set {
		s.fault(controller, field, "", errOnlyV1)
	}
}

// errOnlyV1: no conversion is possible.
var errOnlyV1 = errors.New("only cgroup v1 has such a setting, and this controller is not on a v1 hierarchy here")

// isSet: for most limits 0 means the same as absence, at least for Docker, which writes both.
func isSet[T number](p *T) bool { return p != nil && *p != 0 }

type number interface {
	int64 | uint64 | uint16 | uint32
}

func itoa(n int64) string  { return strconv.FormatInt(n, 10) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// orMax: cgroup2 says "max" where the configuration and v1 say -1.
func orMax(value int64) string {
	if value < 0 {
		return "max"
	}
	return itoa(value)
}

// errNoController: the kernel lacks the controller, or it is not mounted, or not delegated to this
// cgroup.
var errNoController = errors.New("not available on this host")

// controllerDirectory returns the directory with a controller's files, and its version.
func (m *Manager) controllerDirectory(controller string) (*directory, version) {
	if f := m.v1(controller); f != nil {
		return f, v1
	}
	if m.unified.dir != "" {
		return &m.unified, v2
	}
	return nil, v1
}

func (m *Manager) version(controller string) version {
	_, v := m.controllerDirectory(controller)
	return v
}

// directoryOf returns the directory for a setting, or nil.
func (m *Manager) directoryOf(s *setting) *directory {
	if s.unified {
		if m.unified.dir == "" {
			return nil
		}
		return &m.unified
	}
	f, _ := m.controllerDirectory(s.controller)
	return f
}

// write writes settings. All of them go through this loop.
func (m *Manager) write(list []setting) error {
	var again []setting
	var file controlFile
	defer file.close()
	for i := range list {
		s := &list[i]
		err := m.writeOne(&file, s)
		for try := 0; s.lingers && !s.again && errors.Is(err, unix.EINVAL) && try < lingerTries; try++ {
			nap(lingerPause)
			err = m.writeOne(&file, s)
		}
		if s.again && errors.Is(err, unix.EINVAL) {
			again = append(again, *s)
			again[len(again)-1].again = false
			err = nil
		}
		if err != nil {
			return err
		}
		if len(again) > 0 && (i+1 == len(list) || list[i+1].controller != s.controller) {
			if err := m.write(again); err != nil {
				return err
			}
			again = nil
		}
	}
	return nil
}

func (m *Manager) writeOne(file *controlFile, s *setting) error {
	f := m.directoryOf(s)
	if f == nil {
		return s.refused(errNoController)
	}
	name, value := s.file, s.value
	err := file.write(f.dir+"/"+name, value)
	if err == unix.ENOENT && s.otherFile != "" {
		if other := file.write(f.dir+"/"+s.otherFile, s.otherValue); other != unix.ENOENT {
			name, value, err = s.otherFile, s.otherValue, other
		}
	}
	if err == nil || err == unix.ENOENT && s.optional && exists(f.dir) {
		return nil
	}
	return resourceError(s.field, ResourceError{Controller: s.controller, File: f.dir + "/" + name, Value: value, Err: withHint(f.dir, name, err)})
}
