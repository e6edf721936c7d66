package cgroups

import (
	"errors"
	"fmt"
	"syscall"

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
// To support one more resource: add the function of its controller to [settings], give it a file of its own with a golden
// test, and take its fields from [Unapplied].
type setting struct {
	controller string // says which folder
	file       string // "memory.limit_in_bytes"
	value      string
	field      string // the configuration's field that it comes from

	// againLast: what the kernel accepts depends on another setting of the controller (memory.limit_in_bytes may not exceed
	// memory.memsw.limit_in_bytes). On EINVAL it is tried again after the controller's other settings, which makes one
	// order right for raising and for lowering.
	againLast bool
}

// settings turns resources into what is to be written; at says which version has a controller. Devices are apart, in
// [deviceRules]: on cgroup2 they are no file.
func settings(r *specs.LinuxResources, at func(controller string) version) ([]setting, error) {
	if r == nil {
		return nil, nil
	}
	s := make([]setting, 0, 24)
	if r.Memory != nil {
		if at("memory") == v1 {
			s = memoryV1(s, r.Memory)
		} else {
			var err error
			if s, err = memoryV2(s, r.Memory); err != nil {
				return nil, err
			}
		}
	}
	if r.CPU != nil {
		if at("cpu") == v1 {
			s = cpuV1(s, r.CPU)
		} else {
			s = cpuV2(s, r.CPU)
		}
		s = cpusetBoth(s, r.CPU)
	}
	if r.Pids != nil {
		s = pidsBoth(s, r.Pids)
	}
	return s, nil
}

// Unapplied names the fields of r that ask for something which this package does not do (yet), each with a short reason,
// so that no limit is left out silently. Unset fields and zero values that mean "unset" are not named.
func Unapplied(r *specs.LinuxResources) []string {
	if r == nil {
		return nil
	}
	var fields []string
	add := func(set bool, field, reason string) {
		if set {
			fields = append(fields, "linux.resources."+field+": "+reason)
		}
	}
	const later = "not applied yet"
	if m := r.Memory; m != nil {
		add(isSet(m.Kernel), "memory.kernel", "kernels since 5.16 have no such limit")
	}
	if b := r.BlockIO; b != nil {
		add(isSet(b.Weight), "blockIO.weight", later)
		add(isSet(b.LeafWeight), "blockIO.leafWeight", later)
		add(len(b.WeightDevice) > 0, "blockIO.weightDevice", later)
		add(len(b.ThrottleReadBpsDevice) > 0, "blockIO.throttleReadBpsDevice", later)
		add(len(b.ThrottleWriteBpsDevice) > 0, "blockIO.throttleWriteBpsDevice", later)
		add(len(b.ThrottleReadIOPSDevice) > 0, "blockIO.throttleReadIOPSDevice", later)
		add(len(b.ThrottleWriteIOPSDevice) > 0, "blockIO.throttleWriteIOPSDevice", later)
	}
	add(len(r.HugepageLimits) > 0, "hugepageLimits", later)
	if n := r.Network; n != nil {
		add(isSet(n.ClassID), "network.classID", later)
		add(len(n.Priorities) > 0, "network.priorities", later)
	}
	add(len(r.Rdma) > 0, "rdma", later)
	add(len(r.Unified) > 0, "unified", later)
	return fields
}

// isSet: for most limits 0 means the same as absence, to Docker at least, which writes both.
func isSet[T int64 | uint64 | uint16 | uint32](p *T) bool { return p != nil && *p != 0 }

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

// write is the one loop that writes settings.
func (m *Manager) write(list []setting) error {
	var again []setting
	var file controlFile
	defer file.close()
	for i := range list {
		s := &list[i]
		err := m.writeOne(&file, s)
		if s.againLast && errors.Is(err, unix.EINVAL) {
			again = append(again, *s)
			again[len(again)-1].againLast = false
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
	f, _ := m.place(s.controller)
	if f == nil {
		return &ResourceError{Field: s.field, Controller: s.controller, Value: s.value, Err: errNoController}
	}
	path := f.dir + "/" + s.file
	err := file.write(path, s.value)
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOENT) && unix.Access(f.dir, unix.F_OK) == nil {
		err = fmt.Errorf("%w (the kernel does not have or not show this file here)", err)
	}
	return &ResourceError{Field: s.field, Controller: s.controller, File: path, Value: s.value, Err: err}
}

// A controlFile writes values into control files, and keeps the last one open: device rules are many writes into one.
// It uses bare descriptors, since os.File would try each with epoll, which costs more than the write.
type controlFile struct {
	path string
	fd   int
}

func (c *controlFile) write(path, value string) error {
	if c.path != path {
		c.close()
		fd, err := open(path, unix.O_WRONLY)
		if err != nil {
			return err
		}
		c.path, c.fd = path, fd
	}
	return writeAll(c.fd, value)
}

func (c *controlFile) close() {
	if c.path != "" {
		unix.Close(c.fd)
		c.path = ""
	}
}

// writeFile writes a control file. It never makes one: where the path is not in a cgroup file system, it fails.
func writeFile(path, value string) error {
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, value)
}

func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// writeAll writes value with one call, as control files want it. A short write is an error: the kernel took another value.
func writeAll(fd int, value string) error {
	for {
		n, err := unix.Write(fd, []byte(value))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n != len(value):
			return syscall.EIO
		default:
			return nil
		}
	}
}

// readFile reads a control file whole.
func readFile(path string) (string, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return readAll(fd, 512)
}

// readAll reads to the end; size is a guess.
func readAll(fd, size int) (string, error) {
	buf := make([]byte, 0, size)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", err
		case n == 0:
			return string(buf), nil
		default:
			buf = buf[:len(buf)+n]
			if len(buf) == cap(buf) {
				buf = append(buf, make([]byte, len(buf))...)[:len(buf)]
			}
		}
	}
}
