package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// childEnv is set for a process that runs one case.
	childEnv = "ORLOP_DIFFERENTIAL_CASE"
	// mostCalls is how many calls a job has at most that take their whole time.
	mostCalls = 15
)

// A job is a case to be run under a runtime. Each runtime has the same directory for it.
type job struct {
	Case            Case
	Dir, ID, Cgroup string
	Runtime         runtimeProgram
	Limit           time.Duration // of a call
	programs
}

// A runtimeProgram is one of those that are compared.
type runtimeProgram struct{ Name, Path string }

// An answer is what came of a job.
type answer struct {
	Seen   *observation
	Config string
	Fault  string        // of the tester itself
	Took   time.Duration // by calls of the runtime
}

// do runs a job in a process with its own namespaces: what a runtime leaves behind ends with it,
// and the host's name, network and mounts are out of reach.
func (j job) do() answer {
	input, err := json.Marshal(j)
	if err != nil {
		return answer{Fault: err.Error()}
	}
	self, err := os.Executable()
	if err != nil {
		return answer{Fault: err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), mostCalls*j.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stdin = bytes.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNS,
		Setsid:     true, // no terminal of the caller's
		Pdeathsig:  unix.SIGKILL,
	}
	err = cmd.Run()
	var a answer
	if decode := json.Unmarshal(out.Bytes(), &a); decode != nil {
		a.Fault = fmt.Sprintf("%v: %v: %s", err, decode, strings.TrimSpace(errs.String()))
	}
	return a
}

// childMain runs the job that stands on standard input.
func childMain() {
	var j job
	a := answer{}
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		a.Fault = err.Error()
	} else if err := j.run(&a); err != nil {
		a.Fault = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(a)
}

func (j job) run(a *answer) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", j.Dir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", j.Dir, err)
	}
	// As where systemd made it.
	if err := unix.Mount("", j.Dir, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make %s shared: %w", j.Dir, err)
	}
	b, err := makeBundle(j.Case, j.Dir, j.ID, j.Cgroup)
	if err != nil {
		return err
	}
	b.programs = j.programs
	if err := b.write(); err != nil {
		return err
	}
	if config, err := os.ReadFile(j.Dir + "/bundle/config.json"); err == nil {
		a.Config = string(config)
	}
	if j.Runtime.Name == "crun" && hybrid() {
		// crun takes it for a tree of cgroup2 with all controllers.
		if err := unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH); err != nil {
			return fmt.Errorf("hide cgroup2: %w", err)
		}
	}
	r := &runner{bundle: b, program: j.Runtime.Path, kind: j.Runtime.Name, limit: j.Limit, seen: &observation{}}
	a.Seen = r.seen
	err = r.run()
	a.Took = r.took
	return err
}
