package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
)

// fileSystems returns the filesystem types that the kernel has, and whether each needs no block
// device (filesystems(5)).
func (a *asking) fileSystems() (map[string]bool, error) {
	data, err := os.ReadFile(a.root + "/proc/filesystems")
	if err != nil {
		return nil, err
	}
	types := make(map[string]bool)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 0 {
			types[f[len(f)-1]] = f[0] == "nodev" && len(f) > 1
		}
	}
	return types, nil
}

// fileSystem looks for a filesystem type that the kernel has, or has a module for.
func (a *asking) fileSystem(n needs.Need) error {
	types, err := a.fileSystems()
	if err != nil {
		return err
	}
	kind, _, _ := strings.Cut(n.Name, ".") // "fuse.sshfs" is of type fuse
	if _, ok := types[kind]; ok {
		return nil
	}
	// The kernel loads the module if the caller may mount, as it will for the container.
	if fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC); err == nil {
		unix.Close(fd)
		return nil
	} else if errors.Is(err, unix.EPERM) && a.hasModule(kind) {
		return nil
	}
	return lacks("the kernel has no filesystem %s, nor a module for it", n.Name)
}

// hasModule reports whether the running kernel has a module of this name.
func (a *asking) hasModule(name string) bool {
	release, err := os.ReadFile(a.root + "/proc/sys/kernel/osrelease")
	if err != nil {
		return false
	}
	data, err := os.ReadFile(filepath.Join(a.root, "/lib/modules", strings.TrimSpace(string(release)), "modules.dep"))
	return err == nil && strings.Contains(string(data), "/"+name+".ko")
}

// disk looks for the block device of a filesystem that needs one. Others accept any source.
func (a *asking) disk(n needs.Need) error {
	types, err := a.fileSystems()
	if err != nil {
		return err
	}
	if without, known := types[n.Of]; !known || without || !filepath.IsAbs(n.Name) {
		return nil
	}
	return a.path(n)
}
