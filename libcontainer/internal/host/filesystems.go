package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
)

// fileSystems returns the types that the kernel has, and whether each is made without a disk
// (filesystems(5)).
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

// fileSystem looks for a type of file system: one that the kernel has, or has a module for.
func (a *asking) fileSystem(n needs.Need) error {
	types, err := a.fileSystems()
	if err != nil {
		return err
	}
	kind, _, _ := strings.Cut(n.Name, ".") // "fuse.sshfs" is a fuse
	if _, ok := types[kind]; ok {
		return nil
	}
	// The kernel loads the module of one that is asked for by who may mount, as for the container.
	if fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC); err == nil {
		unix.Close(fd)
		return nil
	} else if errors.Is(err, unix.EPERM) && a.hasModule(kind) {
		return nil
	}
	return lacks("the kernel has no file system %s, nor a module for it", n.Name)
}

// hasModule reports whether there is a module of this name for the running kernel.
func (a *asking) hasModule(name string) bool {
	release, err := os.ReadFile(a.root + "/proc/sys/kernel/osrelease")
	if err != nil {
		return false
	}
	data, err := os.ReadFile(filepath.Join(a.root, "/lib/modules", strings.TrimSpace(string(release)), "modules.dep"))
	return err == nil && strings.Contains(string(data), "/"+name+".ko")
}

// disk looks for the source of a file system that is made from a disk. Others take any text.
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
