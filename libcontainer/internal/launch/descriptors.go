package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/idmap"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// descriptors opens the files that the plan needs and that are not in extra. Deferred files are
// only named.
func (p *Process) descriptors(extra []nsenter.NamedFile) ([]nsenter.NamedFile, error) {
	var files []nsenter.NamedFile
	for _, d := range p.DeferredInside {
		files = append(files, nsenter.NamedFile{Name: string(d.Name)})
	}
	files = append(files, extra...)
	for _, d := range p.Deferred {
		files = append(files, nsenter.NamedFile{Name: string(d.Name)})
	}
	for _, d := range p.plan.Needs() {
		has := func(f nsenter.NamedFile) bool { return f.Name == string(d.Name) }
		if slices.ContainsFunc(files, has) {
			continue
		}
		f, err := p.open(d)
		if err != nil {
			err = fmt.Errorf("%s: %w", d.Name, err)
			if field := p.origin(d); field != "" {
				err = &specconv.FieldError{Path: field, Err: err}
			}
			return nil, err
		}
		p.owned = append(p.owned, f)
		files = append(files, nsenter.NamedFile{Name: string(d.Name), File: f})
	}
	if kept := string(p.plan.KeptFile()); kept != "" && len(p.DeferredInside) == 0 {
		i := slices.IndexFunc(files, func(f nsenter.NamedFile) bool { return f.Name == kept })
		if i < 0 {
			return nil, fmt.Errorf("the plan keeps the file %q, which it does not have", kept)
		}
		file := files[i]
		files = slices.Insert(slices.Delete(files, i, i+1), 0, file)
	}
	return files, nil
}

// open opens or creates a file that the plan needs.
func (p *Process) open(d setup.Descriptor) (f *os.File, err error) {
	switch {
	case d.Name == setup.ReleasePipe:
		f, p.releasePipe, err = sys.Pipe()
		return f, err
	case d.Users != nil && !d.Tree:
		return idmap.New(idmap.Map(*d.Users))
	case d.Nodes != nil:
		return makeNodes(d.Nodes)
	case d.Path == "":
		return nil, errors.New("the caller did not pass this file descriptor")
	case d.Tree:
		return openTree(d)
	case d.OPath:
		return sys.Open(d.Path, unix.O_PATH)
	}
	return sys.Open(d.Path, unix.O_RDONLY)
}

// makeNodes creates a filesystem with device nodes, which work since the runtime's user namespace
// owns it. It omits nodes that the runtime may not create.
func makeNodes(nodes *setup.DeviceNodes) (*os.File, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	f := os.NewFile(uintptr(mount), string(setup.NodesTree))
	for i, n := range nodes.Nodes {
		err := makeNode(mount, strconv.Itoa(i), n)
		if err != nil && !errors.Is(err, unix.EPERM) {
			f.Close()
			return nil, fmt.Errorf("device %d: %w", i, err)
		}
	}
	return f, nil
}

func makeNode(dir int, name string, n setup.DeviceNode) error {
	if err := unix.Mknodat(dir, name, n.Mode, n.Device); err != nil {
		return os.NewSyscallError("mknodat", err)
	}
	if err := unix.Fchownat(dir, name, int(n.UID), int(n.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return os.NewSyscallError("fchownat", err)
	}
	return os.NewSyscallError("fchmodat", unix.Fchmodat(dir, name, n.Mode&0o7777, 0)) // regardless of the umask
}

// openTree copies mounts.
func openTree(d setup.Descriptor) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if d.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	if d.NoFollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, d.Path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: d.Path, Err: err}
	}
	return os.NewFile(uintptr(fd), d.Path), nil
}

// origin returns the field of the configuration that a file descriptor comes from, "" for the
// runtime's own.
func (p *Process) origin(d setup.Descriptor) string {
	for _, s := range p.plan.Steps {
		if s.Field != "" && slices.Contains(s.Needs(), d) {
			if d.Part == "" {
				return s.Field
			}
			return s.Field + "." + d.Part
		}
	}
	return ""
}
