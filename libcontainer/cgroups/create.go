package cgroups

import (
	"fmt"
	"os"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Create makes the cgroup's folders and writes the limits. On failure it removes the folders that it made; ones that were there before
// stay, with what was written into them.
//
// errors.Is(err, ErrFrozen): the cgroup was there, and is frozen. A limit that cannot be set is a *ResourceError. Where
// permission lacks, errors.Is(err, fs.ErrPermission) or EROFS.
func (m *Manager) Create(r *specs.LinuxResources) (err error) {
	// All that can be wrong with the configuration comes out before anything is made.
	list, err := settings(r, m.version)
	if err != nil {
		return err
	}
	rules, err := deviceRules(r)
	if err != nil {
		return err
	}
	devices, err := m.deviceSettings(rules)
	if err != nil {
		return err
	}
	list = append(list, devices...)
	for i := range list {
		if f, _ := m.place(list[i].controller); f == nil {
			return &ResourceError{Field: list[i].field, Controller: list[i].controller, Value: list[i].value, Err: errNoController}
		}
	}

	var made []string
	defer func() {
		if err != nil {
			for i := len(made) - 1; i >= 0; i-- {
				unix.Rmdir(made[i])
			}
		}
	}()
	if err := m.all(func(f *folder) error { return m.makeFolder(f, &made) }); err != nil {
		return err
	}
	if m.reused {
		if frozen, err := m.Frozen(); err != nil {
			return err
		} else if frozen {
			return fmt.Errorf("create cgroup: it exists and is frozen: %w", ErrFrozen)
		}
	}
	if m.unified.dir != "" {
		if err := m.delegate(list); err != nil {
			return err
		}
	}
	m.splitLate(list)
	if err := m.write(list); err != nil {
		return err
	}
	return m.attachDeviceRules(rules)
}

// makeFolder makes one folder, and its parents where they are missing.
func (m *Manager) makeFolder(f *folder, made *[]string) error {
	existed, err := mkdirs(f.dir, f.mount, made)
	if err != nil {
		return err
	}
	if existed {
		m.reused = true
	}
	if f.has("cpuset") {
		return inheritCpuset(f.dir, f.mount, !existed)
	}
	return nil
}

func mkdirs(dir, mount string, made *[]string) (existed bool, err error) {
	// The parents are nearly always there: trying costs less than looking.
	for {
		switch err := unix.Mkdir(dir, 0o755); err {
		case nil:
			*made = append(*made, dir)
			return false, nil
		case unix.EEXIST:
			return true, nil
		case unix.EINTR:
		case unix.ENOENT:
			if dir == mount || dir == "/" {
				return false, &os.PathError{Op: "make cgroup", Path: dir, Err: err}
			}
			if _, err := mkdirs(path.Dir(dir), mount, made); err != nil {
				return false, err
			}
		default:
			return false, &os.PathError{Op: "make cgroup", Path: dir, Err: err}
		}
	}
}
