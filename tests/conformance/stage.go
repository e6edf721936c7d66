package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// A program of the suite runs in an environment that is thrown away afterwards, made by two
// processes of this program in turn:
//
//	harness                    makes the working directory, reads the output
//	└ outer (roleOuter)        new mount namespace: /run, /dev, the cgroup hierarchies; makes the program's cgroups, keeps the
//	  │                        time limit, and removes what is left of the cgroups
//	  └ inner (roleInner)      new PID, mount and cgroup namespaces: process 1, which reaps orphans. What it mounts and
//	    │                      whatever still runs ends with it
//	    └ program              e.g. build/conformance/bin/create
//
// The runtime under test finds empty state directories in /run and its cgroups below the program's
// own, so that programs can run side by side although all use the same cgroup paths.

const (
	roleEnv   = "ORLOP_CONFORMANCE_ROLE"
	stageEnv  = "ORLOP_CONFORMANCE_STAGE"
	roleOuter = "outer"
	roleInner = "inner"

	// Exit statuses of the outer process, besides the program's own 0, 1 or 2: the program timed
	// out, it cannot run on this host, or another error.
	statusTimeLimit = 124
	statusCannot    = 125
	statusBroken    = 126
)

// stage is what outer and inner must know; it travels as JSON in the environment.
type stage struct {
	Program string        // path of the binary
	Dir     string        // working directory
	Runtime string        // path of the runtime under test
	Tmp     string        // TMPDIR
	Limit   time.Duration // of the program's run
	Cgroup  string        // name of the program's cgroup in each hierarchy
	Needs   needs
}

// command returns the command that runs the stage's program. It is killed with the process that
// starts it.
func (s *stage) command(ctx context.Context, role string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, stageEnv+"="+string(data))
	return cmd, nil
}

// perform plays this process's role according to the environment. It returns only if there is none.
func perform() {
	role := os.Getenv(roleEnv)
	if role == "" {
		return
	}
	var s stage
	status, err := statusBroken, json.Unmarshal([]byte(os.Getenv(stageEnv)), &s)
	if err == nil {
		switch role {
		case roleOuter:
			status, err = s.outer()
		case roleInner:
			status, err = s.inner()
		}
	}
	if cannot := (*cannotError)(nil); errors.As(err, &cannot) {
		fmt.Fprintln(os.Stderr, cannot)
		status = statusCannot
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		status = statusBroken
	}
	os.Exit(status)
}

// cannotError says what this host lacks or is already using.
type cannotError struct{ reason string }

func (e *cannotError) Error() string { return e.reason }

// outer is called in a new mount namespace, which nobody else sees.
func (s *stage) outer() (status int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return 0, fmt.Errorf("mount /run: %w", err)
	}
	if err := privateDev(); err != nil {
		return 0, err
	}
	tree, err := mountTree(hostTree, s.Needs)
	defer func() { err = errors.Join(err, tree.unmount()) }()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, tree.removeGroups(s.Cgroup)) }()
	if err := tree.makeGroups(s.Cgroup, s.Needs.RealTime); err != nil {
		return 0, err
	}

	cmd, err := s.command(ctx, roleInner)
	if err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	err = cmd.Run()
	if ctx.Err() != nil {
		return statusTimeLimit, nil
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// inner is called as process 1 of a PID namespace, in a mount namespace of its own.
func (s *stage) inner() (int, error) {
	// A cgroup namespace belongs to a thread: this one does everything that follows, with the fork.
	runtime.LockOSThread()
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return 0, fmt.Errorf("mount /proc: %w", err)
	}
	if err := enterGroups(s.Cgroup, s.Needs.RealTime); err != nil {
		return 0, err
	}
	if err := os.Chdir(s.Dir); err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	pid, err := syscall.ForkExec(s.Program, []string{filepath.Base(s.Program)}, &syscall.ProcAttr{
		Env:   []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LC_ALL=C", "RUNTIME=" + s.Runtime, "TMPDIR=" + s.Tmp},
		Files: []uintptr{null.Fd(), 1, 2},
	})
	if err != nil {
		return 0, &os.PathError{Op: "exec", Path: s.Program, Err: err}
	}
	return reapUntil(pid)
}

// reapUntil reaps children until the given one ends, and returns its status.
func reapUntil(pid int) (int, error) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case got == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case got == pid:
			return status.ExitStatus(), nil
		}
	}
}
