// Package idmap makes user namespaces, and inspects existing ones: which IDs they map, and which
// namespaces they own.
package idmap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/nsenter"
)

// A Map maps user and group IDs of a user namespace to those of its parent (user_namespaces(7)).
type Map struct{ UIDs, GIDs []specs.LinuxIDMapping }

// New makes a user namespace with this map, a child of the caller's own, and returns its file. The
// caller owns it: by joining it, it gets all capabilities there.
//
// A caller without the capabilities CAP_SETUID and CAP_SETGID can only map its own IDs, or those
// that /etc/subuid and /etc/subgid assign to it, through newuidmap(1) and newgidmap(1). If it maps
// its own group itself, setgroups(2) is denied in the namespace.
func New(m Map) (*os.File, error) {
	holder, err := hold()
	if err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	ns, err := m.give(holder.Pid)
	err = errors.Join(err, holder.Kill())
	holder.Close()
	if err != nil {
		if ns != nil {
			ns.Close()
		}
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	return ns, nil
}

// hold starts a process in a new user namespace, which only keeps the namespace alive while that
// gets its map. It exits with the caller.
func hold() (*nsenter.Process, error) {
	p := nsenter.NewProgram()
	p.Await()
	p.Call(unix.SYS_EXIT_GROUP, nsenter.Int(0))
	launch, err := nsenter.Prepare(p, nsenter.Start{Cloneflags: unix.CLONE_NEWUSER})
	if err != nil {
		return nil, err
	}
	defer launch.Close()
	process, err := launch.Start(-1)
	if errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("%w (the sysctl user.max_user_namespaces, or 32 levels of nesting)", err)
	}
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (a sysctl or security module keeps ordinary users from making user namespaces)", err)
	}
	return process, err
}

// visit starts a process that joins a user namespace and stays there. It exits with the caller.
func visit(ns *os.File) (*nsenter.Process, error) {
	const user = nsenter.FD("user namespace")
	p := nsenter.NewProgram()
	p.Call(unix.SYS_SETNS, user, nsenter.Int(unix.CLONE_NEWUSER))
	p.Rendezvous(1)
	p.Call(unix.SYS_EXIT_GROUP, nsenter.Int(0))
	launch, err := nsenter.Prepare(p, nsenter.Start{Files: []nsenter.NamedFile{{Name: string(user), File: ns}}})
	if err != nil {
		return nil, err
	}
	defer launch.Close()
	process, err := launch.Start(-1)
	if err != nil {
		return nil, err
	}
	if _, err = process.Conn.Next(); err != nil {
		err = errors.Join(err, process.Kill())
		process.Close()
		return nil, err
	}
	return process, nil
}

// give writes the map of the process's namespace, and opens it. The process is an unreaped child,
// so its PID cannot be reused.
func (m Map) give(pid int) (*os.File, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	if err := writeMap(dir, "uid_map", "newuidmap", pid, m.UIDs, os.Geteuid()); err != nil {
		return nil, fmt.Errorf("uidMappings: %w", err)
	}
	if err := m.giveGroups(dir, pid); err != nil {
		return nil, fmt.Errorf("gidMappings: %w", err)
	}
	return os.OpenFile(dir+"/ns/user", os.O_RDONLY, 0)
}

func (m Map) giveGroups(dir string, pid int) error {
	err := writeMap(dir, "gid_map", "newgidmap", pid, m.GIDs, os.Getegid())
	if !errors.Is(err, errDenySetgroups) {
		return err
	}
	// A process that could drop a group could gain access that is denied to the group
	// (CVE-2014-8989).
	if err := os.WriteFile(dir+"/setgroups", []byte("deny"), 0); err != nil {
		return err
	}
	return os.WriteFile(dir+"/gid_map", []byte(text(m.GIDs)), 0)
}

// errDenySetgroups: the kernel accepts this map from this caller once setgroups is denied.
var errDenySetgroups = errors.New("setgroups is not denied")

// writeMap writes a map, directly or through a program that is set-user-ID root.
func writeMap(dir, file, program string, pid int, list []specs.LinuxIDMapping, own int) error {
	lines := text(list)
	if size := os.Getpagesize(); len(lines) >= size {
		return fmt.Errorf("the map's text has %d bytes, and the kernel accepts less than %d", len(lines), size)
	}
	err := os.WriteFile(dir+"/"+file, []byte(lines), 0)
	if err == nil || !errors.Is(err, unix.EPERM) || os.Geteuid() == 0 {
		return err
	}
	if len(list) == 1 && list[0].Size == 1 && int64(list[0].HostID) == int64(own) && file == "gid_map" {
		return errDenySetgroups
	}
	return byProgram(program, pid, list)
}

// programLimit is the timeout of newuidmap and newgidmap.
const programLimit = 30 * time.Second

// byProgram writes the map through newuidmap or newgidmap.
func byProgram(program string, pid int, list []specs.LinuxIDMapping) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("an ordinary user needs %s to map more than its own ID: %w", program, err)
	}
	args := []string{strconv.Itoa(pid)}
	for _, m := range list {
		args = append(args, id(m.ContainerID), id(m.HostID), id(m.Size))
	}
	// The program may ask a directory service which IDs the user has.
	ctx, cancel := context.WithTimeout(context.Background(), programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return timeout.Errorf("%s: has not ended within %v, and was killed", path, programLimit)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func text(list []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range list {
		b.WriteString(id(m.ContainerID) + " " + id(m.HostID) + " " + id(m.Size) + "\n")
	}
	return b.String()
}

func id(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
