package cgroups

import (
	"errors"
	"strconv"
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

// A setting is one write into one control file.
//
// To support one more resource: give its controller a file of its own with functions that turn it into settings, call them in
// [settings], and add a case to testdata/settings for both versions. What the kernel has to say about it comes
// out of a test in kernel_test.go.
type setting struct {
	controller string // says which folder
	file       string // "memory.limit_in_bytes"
	value      string
	field      string // the configuration's field that it comes from

	// again: what the kernel accepts depends on another setting of the controller (memory.limit_in_bytes may not exceed
	// memory.memsw.limit_in_bytes). On EINVAL it is tried again after the controller's other settings, which makes one
	// order right for raising and for lowering.
	again bool

	// otherFile gets otherValue where the kernel does not have file: the same setting under another name.
	otherFile, otherValue string

	// lingers: of what a parent has of this, a cgroup that was removed keeps its part until the kernel has taken it apart. On EINVAL it
	// is tried for a while.
	lingers bool

	optional bool // that the kernel does not have the file is the same as if it held the value
	unified  bool // for the cgroup2 folder, even if a v1 hierarchy has the controller
}

const (
	// lingerTries times lingerPause is how long removed cgroups may take. Mostly it is 15 ms, a few RCU grace periods; on a busy
	// machine it is more.
	lingerTries = 100
	lingerPause = 5 * time.Millisecond
)

// settings turns resources into what is to be written; at says which version has a controller. live: a cgroup that has limits is
// changed, so that a setting counts even if it is the kernel's default. Devices are apart, in [deviceRules]: on cgroup2 they are no file.
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
		if at("blkio") == v1 {
			s.ioV1(r.BlockIO)
		} else {
			s.ioV2(r.BlockIO)
		}
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

// refused returns the error of a setting that the host does not have.
func (s *setting) refused(err error) error {
	return resourceError(s.field, ResourceError{Controller: s.controller, Value: s.value, Err: err})
}

// settingList collects settings, and what cannot become one.
type settingList struct {
	list   []setting
	live   bool // see settings
	faults []error
}

func (s *settingList) add(x setting) { s.list = append(s.list, x) }

func (s *settingList) fault(controller, field, value string, err error) {
	s.faults = append(s.faults, resourceError(field, ResourceError{Controller: controller, Value: value, Err: err}))
}

// onlyV1 is a fault when a setting was asked for that cgroup2 has nothing like. The specification wants an error
// (config-linux.md, "Unified"), where runc passes it over.
func (s *settingList) onlyV1(set bool, controller, field string) {
	if set {
		s.fault(controller, field, "", errOnlyV1)
	}
}

// errOnlyV1: no conversion is possible.
var errOnlyV1 = errors.New("only cgroup v1 has such a setting, and this controller is not on a v1 hierarchy here")

// isSet: for most limits 0 means the same as absence, to Docker at least, which writes both.
func isSet[T int64 | uint64 | uint16 | uint32](p *T) bool { return p != nil && *p != 0 }

func itoa(n int64) string  { return strconv.FormatInt(n, 10) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// orMax: cgroup2 says "max" where the configuration and v1 say -1.
func orMax(value int64) string {
	if value < 0 {
		return "max"
	}
	return itoa(value)
}

// errNoController: the kernel lacks the controller, or it is not mounted, or not delegated to this cgroup.
var errNoController = errors.New("not available on this host")

// place gives the folder that a controller's files are in, and the version of that.
func (m *Manager) place(controller string) (*folder, version) {
	if f := m.v1(controller); f != nil {
		return f, v1
	}
	if m.unified.dir != "" {
		return &m.unified, v2
	}
	return nil, v1
}

func (m *Manager) version(controller string) version {
	_, v := m.place(controller)
	return v
}

// folderOf gives the folder for a setting, or nil.
func (m *Manager) folderOf(s *setting) *folder {
	if s.unified {
		if m.unified.dir == "" {
			return nil
		}
		return &m.unified
	}
	f, _ := m.place(s.controller)
	return f
}

// write is the one loop that writes settings.
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
	f := m.folderOf(s)
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
	if err == nil || err == unix.ENOENT && s.optional && unix.Access(f.dir, unix.F_OK) == nil {
		return nil
	}
	return resourceError(s.field, ResourceError{Controller: s.controller, File: f.dir + "/" + name, Value: value, Err: withHint(f.dir, name, err)})
}
