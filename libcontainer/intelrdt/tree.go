// Package intelrdt keeps a container in a group of the resctrl file system (Intel RDT and its like of AMD and ARM): linux.intelRdt of
// config.json.
//
//	/sys/fs/resctrl/              the default control group
//	    schemata tasks            what its processes may use of caches and memory bandwidth, and who they are
//	    info/                     what the machine can do
//	    mon_groups/ID/            a monitoring group: processes of the control group that are counted apart
//	    CLOSID/                   another control group, with the same files and folders
//
// The kernel's documentation is Documentation/filesystems/resctrl.rst. Groups are made and removed as folders; processes that a process of a
// group starts are in that group.
package intelrdt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/mountinfo"
)

// ErrNoResctrl means that there is no resctrl file system: the processor or the kernel has no such thing, or nobody has mounted it.
var ErrNoResctrl = errors.New("this host has no resctrl file system mounted (it takes a processor with RDT or its like, and mount -t resctrl)")

// Find returns where the resctrl file system is mounted. The error is ErrNoResctrl where it is not.
func Find() (dir string, err error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	dir, ok := mountPoint(string(data))
	if !ok {
		return "", ErrNoResctrl
	}
	return dir, nil
}

// mountPoint finds the mount point of a whole resctrl file system in the text of a mountinfo.
func mountPoint(text string) (string, bool) {
	for m := range mountinfo.Mounts(text) {
		if m.Root == "/" && m.Type == "resctrl" {
			return m.Point, true
		}
	}
	return "", false
}

// An Error is the kernel's refusal of what was written into the resctrl file system.
type Error struct {
	Op, Path string
	Errno    syscall.Errno
	Message  string // the kernel's words in info/last_cmd_status; "" when there are none
}

func (e *Error) Error() string {
	text := e.Op + " " + e.Path + ": " + e.Errno.Error()
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Unwrap returns the errno.
func (e *Error) Unwrap() error { return e.Errno }

// refused makes an *Error of the error of a system call on a path below root.
func refused(root, op, path string, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	e := &Error{Op: op, Path: path, Errno: errno}
	// It is that of the last call of any process; ours is most likely to be that one.
	if status, err := os.ReadFile(filepath.Join(root, "info/last_cmd_status")); err == nil {
		if text := strings.TrimSpace(string(status)); text != "ok" {
			e.Message = strings.ReplaceAll(text, "\n", "; ")
		}
	}
	return e
}

// write writes a control file with one call: the kernel takes all of it or none. It never makes a file.
func write(root, path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return refused(root, "open", path, err)
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return refused(root, "write", path, err)
	}
	return nil
}

// isGroup reports whether a folder is a group, control or monitoring, and not another folder of the file system.
func isGroup(dir string) (bool, error) {
	err := unix.Access(filepath.Join(dir, "tasks"), unix.F_OK)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	return true, nil
}
