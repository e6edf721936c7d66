package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/idmap"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/mountinfo"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/signals"
	"github.com/orlop/orlop/specconv"
)

// hostFacts gathers what the planner must know of the host for this bundle.
func hostFacts(b *specconv.Bundle, layout cgroups.Layout, paths map[string]string) (setup.Facts, error) {
	f, err := processFacts(b.Spec.Process)
	if err != nil {
		return f, err
	}
	if err := sourceFacts(b, &f); err != nil {
		return f, err
	}
	if f.FolderMode, err = folderModes(b); err != nil {
		return f, err
	}
	if f.UserFacts, err = userFacts(b); err != nil {
		return f, err
	}
	if err := sharedFacts(b, &f); err != nil {
		return f, err
	}
	f.ProcOfOthers, err = procOfOthers(b)
	if err != nil {
		return f, err
	}
	f.Cgroup = cgroupFacts(layout, paths)
	if l := b.Spec.Linux; l != nil && l.MountLabel != "" {
		f.SELinux = selinuxEnabled()
	}
	if l := b.Spec.Linux; l != nil && strings.HasSuffix(l.RootfsPropagation, "shared") {
		f.RootParent, _, err = mountOf(b.Rootfs)
	}
	return f, err
}

// procOfOthers finds out whether the kernel can make a procfs of a PID namespace that is joined by a path, for a caller that is not in there.
// Who has no right to mount before there is a user namespace goes by the kernel's version.
func procOfOthers(b *specconv.Bundle) (bool, error) {
	n, ok := b.Namespace(specs.PIDNamespace)
	if !ok || n.Path == "" {
		return false, nil
	}
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.EPERM) {
		names, err := sys.Uname()
		return names.KernelFrom(6, 17), err
	}
	if err != nil {
		return false, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	return unix.FsconfigSetString(fs, "pidns", "/proc/self/ns/pid") == nil, nil
}

// processFacts gathers what the planner must know for any process.
func processFacts(p *specs.Process) (setup.Facts, error) {
	var f setup.Facts
	f.LastCap = lastCap()
	f.Ignored = signals.Ignored()
	var err error
	if f.Grantable, err = permitted(); err != nil {
		return f, err
	}
	return f, labelFacts(&f, p)
}

// lastCap returns the highest capability that the kernel knows. It refuses to tell of others (capabilities(7)), and asking for two is
// quicker than reading /proc/sys/kernel/cap_last_cap.
func lastCap() uint {
	known := func(n uint) bool {
		_, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		return err == nil
	}
	last := uint(unix.CAP_LAST_CAP)
	for !known(last) && last > 0 {
		last--
	}
	for known(last + 1) {
		last++
	}
	return last
}

// streamFacts looks at the standard streams of a process. users is the map of its user namespace,
// nil for the runtime's. between are the outputs that must be copied from pipes: the caller keeps
// the files, and the process's user could not open them again.
func streamFacts(p *specs.Process, s *Streams, users *setup.IDMap) (facts setup.StreamFacts, between [3]bool) {
	if p == nil || p.Terminal {
		return facts, between
	}
	facts.Owner = p.User.UID
	if users != nil {
		facts.Owner, _ = idmap.Host(users.UIDs, p.User.UID) // the planner refuses a user that is not mapped
	}
	for i, f := range [...]*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			facts.Null[i] = true // see nsenter.Start
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) != nil {
			continue // it cannot be passed on, which says what is wrong
		}
		foreign := st.Uid != facts.Owner
		closed := s.Shared && i > 0 && foreign && st.Mode&0o002 == 0
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			// Another device than the null device, such as the caller's terminal, is the host's and
			// stays its owner's.
			facts.Null[i] = st.Rdev == unix.Mkdev(1, 3)
			between[i] = closed && !facts.Null[i]
		case unix.S_IFIFO, unix.S_IFSOCK:
			facts.Given[i] = foreign
		case unix.S_IFREG:
			facts.Given[i] = foreign && !s.Shared && !s.keepOwner
			between[i] = closed
		}
		facts.Given[i] = facts.Given[i] || between[i]
	}
	return facts, between
}

// permitted returns the capabilities of the calling process: it cannot grant others.
func permitted() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("capget: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// sourceFacts tells which bind mounts have a source that is no directory, and which have one that is not there yet.
func sourceFacts(b *specconv.Bundle, f *setup.Facts) error {
	f.SourceIsFile = make([]bool, len(b.Mounts))
	for i := range b.Mounts {
		m := &b.Mounts[i]
		if !m.Bind || m.Remount {
			continue
		}
		if target, err := sourceLink(m); err != nil {
			return err
		} else if target != "" {
			if f.SourceLink == nil {
				f.SourceLink = make([]string, len(b.Mounts))
			}
			f.SourceLink[i] = target
			continue
		}
		inside, below := strings.CutPrefix(m.Source, strings.TrimSuffix(b.Rootfs, "/")+"/")
		look := os.Stat
		if m.SourceNoFollow {
			look = os.Lstat
		}
		info, err := look(m.Source)
		if below && (covered(b.Mounts[:i], "/"+inside) || i > 0 && errors.Is(err, unix.ENOENT)) {
			if f.SourceInRoot == nil {
				f.SourceInRoot = make([]string, len(b.Mounts))
			}
			f.SourceInRoot[i] = "/" + inside
			continue
		}
		if err != nil {
			return &specconv.FieldError{Path: fmt.Sprintf("mounts[%d].source", m.Index), Err: err}
		}
		f.SourceIsFile[i] = !info.IsDir()
	}
	return nil
}

// covered reports whether one of these mounts lies on a path of the container or above it.
func covered(mounts []specconv.Mount, path string) bool {
	for i := range mounts {
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(mounts[i].Destination, "/"))
		if ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// sourceLink returns what the source of a mount with copy-symlink leads to, "" if it is no link.
func sourceLink(m *specconv.Mount) (string, error) {
	if !m.CopySymlink {
		return "", nil
	}
	target, err := os.Readlink(m.Source)
	if err != nil && !errors.Is(err, unix.EINVAL) { // which is what is no link
		return "", &specconv.FieldError{Path: fmt.Sprintf("mounts[%d].source", m.Index), Err: err}
	}
	return target, nil
}

// cgroupFacts describes the container's cgroup for mounts of it.
func cgroupFacts(layout cgroups.Layout, paths map[string]string) setup.CgroupFacts {
	f := setup.CgroupFacts{Unified: layout.Mode == cgroups.Unified, UnifiedPath: paths[""]}
	for i := range layout.Hierarchies {
		h := &layout.Hierarchies[i]
		keys := h.Keys()
		f.Hierarchies = append(f.Hierarchies, setup.CgroupHierarchy{
			Dir:         filepath.Base(h.Mountpoint),
			Controllers: keys,
			Path:        paths[keys[0]],
		})
	}
	return f
}

// mountOf returns the mount point that holds path, and the type of its file system.
func mountOf(path string) (point, fstype string, err error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", "", err
	}
	data, err := sys.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	point, fstype = mountAbove(string(data), real)
	return point, fstype, nil
}

// mountAbove finds the mount that a path is on in the text of a mountinfo.
func mountAbove(text, path string) (point, fstype string) {
	point = "/"
	for m := range mountinfo.Mounts(text) {
		if p := m.Point; len(p) >= len(point) && (p == "/" || path == p || strings.HasPrefix(path, p+"/")) {
			point, fstype = p, m.Type
		}
	}
	return point, fstype
}
