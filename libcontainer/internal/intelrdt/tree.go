// Package intelrdt puts a container into a group of the resctrl filesystem (Intel RDT and its
// equivalents of AMD and ARM): linux.intelRdt of config.json.
//
//	/sys/fs/resctrl/       the default control group
//	    schemata           what its processes may use of caches and memory bandwidth
//	    tasks              its processes
//	    info/              what the machine supports
//	    mon_groups/ID/     a monitoring group: processes of the control group that are counted
//	                       separately
//	    CLOSID/            another control group, with the same files and directories
//
// The kernel's documentation is Documentation/filesystems/resctrl.rst. Groups are made and removed
// as directories; children of a group's processes are in that group.
package intelrdt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/mountinfo"
)

// ErrNoResctrl means that there is no resctrl filesystem: the processor or the kernel does not
// support it, or it is not mounted.
var ErrNoResctrl = errors.New("this host has no resctrl filesystem mounted (it needs a processor with RDT or similar, and mount -t resctrl)")

// Find returns where the resctrl filesystem is mounted. The error is ErrNoResctrl if it is not.
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

// mountPoint finds the mount point of a whole resctrl filesystem in the text of a mountinfo.
func mountPoint(text string) (string, bool) {
	for m := range mountinfo.Mounts(text) {
		if m.Root == "/" && m.Type == "resctrl" {
			return m.Point, true
		}
	}
	return "", false
}

// An Error is the kernel's refusal of a write to the resctrl filesystem.
type Error struct {
	Op, Path string
	Errno    syscall.Errno
	Message  string // the kernel's message in info/last_cmd_status; "" when there is none
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
	// This is the status of any process's last call, which most likely was this one.
	if status, err := os.ReadFile(filepath.Join(root, "info/last_cmd_status")); err == nil {
		if text := strings.TrimSpace(string(status)); text != "ok" {
			e.Message = strings.ReplaceAll(text, "\n", "; ")
		}
	}
	return e
}

// write writes a control file with one call, because the kernel accepts all of it or none. It never
// creates a file.
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

// isGroup reports whether a directory is a group, control or monitoring, and not another directory
// of the filesystem.
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
