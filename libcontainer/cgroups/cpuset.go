package cgroups

import (
	"errors"
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cpuset: the files have the same names in v1 and cgroup2.
func (s *settingList) cpuset(r *specs.LinuxCPU) {
	if r.Cpus != "" {
		s.add("cpuset.cpus", r.Cpus, cpuField+"cpus")
	}
	if r.Mems != "" {
		s.add("cpuset.mems", r.Mems, cpuField+"mems")
	}
}

// inheritCpuset copies the parent's values to a new v1 cpuset, and those of its parents to them: v1
// creates empty ones, which no process can join (cgroup-v1/cpusets.rst, 1.4). Configured values are
// written later. A cpuset that is not fresh keeps its values.
func inheritCpuset(dir, mount string, fresh bool) error {
	for _, file := range [...]string{"/cpuset.cpus", "/cpuset.mems"} {
		if _, err := inheritCpusetFile(dir, mount, file, fresh); err != nil {
			return fmt.Errorf("initialise cpuset %s%s: %w", dir, file, err)
		}
	}
	return nil
}

func inheritCpusetFile(dir, mount, file string, fresh bool) (string, error) {
	if !fresh {
		value, err := readFile(dir + file)
		if value = strings.TrimSpace(value); err != nil || value != "" {
			return value, err
		}
	}
	if dir == mount || dir == "/" {
		return "", errors.New("the root of the hierarchy has none")
	}
	value, err := inheritCpusetFile(path.Dir(dir), mount, file, false)
	if err != nil {
		return "", err
	}
	err = writeFile(dir+file, value)
	if err == unix.EACCES && !fresh {
		// The parent lists more than it may use (a processor was taken away); children get what is
		// in use.
		return value, nil
	}
	return value, err
}
