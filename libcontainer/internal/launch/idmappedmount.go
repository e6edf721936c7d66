package launch

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/host"
	"github.com/orlop/orlop/libcontainer/internal/idmap"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// mapMount makes a mount that the process has sent an id-mapped mount.
func (p *Process) mapMount(m nsenter.Message) error {
	if m.File == nil {
		return &specconv.FieldError{Path: "mounts", Err: errNoFile}
	}
	defer m.File.Close()
	mount := p.plan.MountIDMap(m.Value)
	if mount == nil || mount.IDMap == nil {
		return &specconv.FieldError{Path: "mounts", Err: fmt.Errorf("step %d has no id map", m.Value)}
	}
	field := jsonpath.Index("mounts", mount.Index)
	ns, err := idmap.New(idmap.Map{UIDs: mount.IDMap.UIDs, GIDs: mount.IDMap.GIDs})
	if err != nil {
		return &specconv.FieldError{Path: field, Err: err}
	}
	defer ns.Close()
	flags := uint(unix.AT_EMPTY_PATH)
	if mount.IDMap.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(int(m.File.Fd()), "", flags, &attr); err != nil {
		failed := &setup.StepError{Step: int(m.Value), Title: "map its ids", Call: "mount_setattr", Hint: idMapHint(err, mount)}
		errors.As(err, &failed.Errno)
		return &specconv.FieldError{Path: field, Err: failed}
	}
	return nil
}

// idMapHint explains an error of mount_setattr(2). It looks up the filesystem, which the planner's
// table of hints cannot.
func idMapHint(err error, m *specconv.Mount) string {
	what := m.Type
	if m.Bind {
		what = "that of " + m.Source
		if _, fstype, err := host.MountOf(m.Source); err == nil {
			what = fstype + " at " + m.Source
		}
	}
	switch {
	case errors.Is(err, unix.EINVAL):
		return "the filesystem, " + what + ", or one that is mounted below it, has no id-mapped mounts on this kernel, or is id-mapped already"
	case errors.Is(err, unix.EPERM):
		return "needs privileges over the filesystem, " + what + ", which the runtime lacks, or it is id-mapped already"
	}
	return ""
}
