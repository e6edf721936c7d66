package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/idmap"
	"github.com/orlop/orlop/libcontainer/rawfile"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
)

// descriptors opens what the plan needs and does not get from extra.
func (b *birth) descriptors(extra []nsenter.NamedFile) ([]nsenter.NamedFile, error) {
	files := slices.Clone(extra)
	for _, d := range b.plan.Needs() {
		has := func(f nsenter.NamedFile) bool { return f.Name == string(d.Name) }
		if slices.ContainsFunc(files, has) {
			continue
		}
		f, err := openNeed(d)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", b.origin(d), d.Name, err)
		}
		b.owned = append(b.owned, f)
		files = append(files, nsenter.NamedFile{Name: string(d.Name), File: f})
	}
	return files, nil
}

// openNeed opens or makes what a plan needs.
func openNeed(d setup.Descriptor) (*os.File, error) {
	switch {
	case d.Users != nil && !d.Tree:
		return idmap.New(idmap.Map(*d.Users))
	case d.Path == "":
		return nil, errors.New("nobody passes this descriptor")
	case d.Tree:
		return openTree(d)
	case d.OPath:
		return rawfile.Open(d.Path, unix.O_PATH)
	}
	return rawfile.Open(d.Path, unix.O_RDONLY)
}

// openTree copies mounts.
func openTree(d setup.Descriptor) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if d.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, d.Path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: d.Path, Err: err}
	}
	return os.NewFile(uintptr(fd), d.Path), nil
}

// origin names the field of the configuration that a descriptor is from, before an error's text.
func (b *birth) origin(d setup.Descriptor) string {
	for _, s := range b.plan.Steps {
		if s.Field != "" && slices.Contains(s.Needs(), d) {
			if d.Part == "" {
				return s.Field + ": "
			}
			return s.Field + "." + d.Part + ": "
		}
	}
	return ""
}

// tasks opens what the process joins a cgroup by.
func (b *birth) tasks(name nsenter.FD, open func() (*os.File, error)) (nsenter.NamedFile, error) {
	f, err := open()
	if err != nil {
		return nsenter.NamedFile{}, fmt.Errorf("%s: %w", name, err)
	}
	b.owned = append(b.owned, f)
	return nsenter.NamedFile{Name: string(name), File: f}, nil
}

// lateCgroups adds the files by which the process joins the cgroups that it is not born in.
func (b *birth) lateCgroups(cgroup *cgroups.Manager, how setup.Options, named []nsenter.NamedFile) ([]nsenter.NamedFile, error) {
	if how.JoinMemory {
		f, err := b.tasks(setup.MemoryTasks, cgroup.MemoryTasks)
		if err != nil {
			return nil, err
		}
		named = append(named, f)
	}
	if how.JoinFreezer {
		f, err := b.tasks(setup.FreezerTasks, cgroup.FreezerTasks)
		if err != nil {
			return nil, err
		}
		named = append(named, f)
	}
	return named, nil
}
