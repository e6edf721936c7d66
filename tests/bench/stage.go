package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/orlop/orlop/tests/profile"
)

// stage is what the measurements need: one bundle for all runtimes, and for each runtime a running
// container and a state directory.
type stage struct {
	dir      string
	busybox  string
	cgroup   string // below which all cgroups lie, from the root of each hierarchy
	runtimes []runtime
}

func newStage(ctx context.Context, runtimes []runtime) (s *stage, err error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w (Debian: busybox-static)", err)
	}
	dir, err := os.MkdirTemp("", "orlop-bench-")
	if err != nil {
		return nil, err
	}
	s = &stage{dir: dir, busybox: filepath.Join(dir, "rootfs/bin/busybox"), cgroup: "/orlop-bench-" + strconv.Itoa(os.Getpid())}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.path("run"), 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", s.path("run"), "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return nil, fmt.Errorf("mount a tmpfs for the state directories: %w", err)
	}
	if s.runtimes, err = install(s.path("bin"), runtimes); err != nil {
		return nil, err
	}
	if err := makeRootfs(filepath.Join(dir, "rootfs"), busybox); err != nil {
		return nil, err
	}
	for name, seccomp := range map[string]json.RawMessage{"true": nil, "seccomp": profile.Docker()} {
		if err := s.bundle(name, []string{"/bin/true"}, 0, seccomp); err != nil {
			return nil, err
		}
	}
	for _, r := range s.runtimes {
		name := "live-" + r.Name
		if err := s.bundle(name, []string{"/bin/sleep", "1000000"}, 0, nil); err != nil {
			return nil, err
		}
		for _, args := range [][]string{{"create", "--bundle", s.path(name), name}, {"start", name}} {
			if err := s.do(ctx, r, args...); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// install copies the runtimes' programs to a directory and returns the copies. The way in which a
// file was written affects the start of a program: what a linker has written, through a mapping and
// page by page, takes 0.15 to 0.3 ms longer to start than a copy or an installed package.
func install(dir string, runtimes []runtime) ([]runtime, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	installed := slices.Clone(runtimes)
	for i := range installed {
		r := &installed[i]
		from := r.Path
		r.Path = filepath.Join(dir, r.Name)
		if out, err := exec.Command("cp", "--dereference", from, r.Path).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("install %s: %w: %s", r.Name, err, out)
		}
	}
	return installed, nil
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// state is a runtime's state directory. It lies in a tmpfs, like /run.
func (s *stage) state(r runtime) string { return s.path("run/" + r.Name) }

// command is a runtime's command line as words.
func (s *stage) command(r runtime, args ...string) []string {
	return append([]string{r.Path, "--root", s.state(r)}, args...)
}

// do runs a runtime's command; an error contains its output. Output goes to a file: a container
// that is left running would keep a pipe open.
func (s *stage) do(ctx context.Context, r runtime, args ...string) error {
	words := s.command(r, args...)
	said, err := os.Create(s.path("output"))
	if err != nil {
		return err
	}
	defer said.Close()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stderr = said
	err = cmd.Run()
	reap()
	if err != nil {
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(string(text)))
	}
	return nil
}

// reap reaps dead orphans. No command of this program may run meanwhile.
func reap() {
	for {
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
			return
		}
	}
}

// close deletes all containers, also those of a broken run, and removes the directory.
func (s *stage) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, r := range s.runtimes {
		entries, err := os.ReadDir(s.state(r))
		if err != nil {
			continue // never made
		}
		for _, entry := range entries {
			if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
				errs = append(errs, s.do(ctx, r, "delete", "--force", entry.Name()))
			}
		}
	}
	reap()
	for _, pattern := range []string{"", "/*"} {
		folders, _ := filepath.Glob(cgroupMountsFolder + pattern + s.cgroup)
		for _, folder := range folders {
			if hybrid() && strings.HasPrefix(folder, unifiedMountpoint) {
				continue // not a cgroup but files of the covering tmpfs, which goes with this process
			}
			below, _ := filepath.Glob(folder + "/*/")
			for _, child := range append(below, folder) {
				if err := os.Remove(child); err != nil && !errors.Is(err, os.ErrNotExist) {
					errs = append(errs, err)
				}
			}
		}
	}
	// EINVAL, ENOENT: it was never mounted.
	if err := syscall.Unmount(s.path("run"), 0); err != nil && err != syscall.EINVAL && err != syscall.ENOENT {
		errs = append(errs, fmt.Errorf("unmount %s: %w", s.path("run"), err))
	}
	if mounts, err := os.ReadFile(mountinfoPath); err != nil || strings.Contains(string(mounts), " "+s.dir+"/") {
		// RemoveAll must not follow a mount.
		return errors.Join(append(errs, fmt.Errorf("a mount is left below %s", s.dir), err)...)
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// makeRootfs makes a busybox root filesystem.
func makeRootfs(rootfs, busybox string) error {
	for _, name := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(rootfs, name), 0o755); err != nil {
			return err
		}
	}
	binary, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(rootfs, "bin/busybox"), binary, 0o755); err != nil {
		return err
	}
	for _, applet := range []string{"sh", "true", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(rootfs, "bin", applet)); err != nil {
			return err
		}
	}
	return nil
}
