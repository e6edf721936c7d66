package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runner runs programs of the suite against one runtime.
type runner struct {
	suite      suite
	runtime    string // path
	dir        string // temporary directory of this run
	limit      time.Duration
	lanes      int
	exceptions []exception // what is expected to fail; a program that does otherwise is run once more
}

// run runs programs of the suite against the runtime of this path.
func (s suite) run(ctx context.Context, path string, limit time.Duration, lanes int, tests []string) (*report, error) {
	r := &report{Runtime: filepath.Base(path), Suite: s.version}
	var err error
	if r.Version, err = versionOf(path); err != nil {
		return nil, err
	}
	if r.Host, err = hostFacts(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "orlop-conformance-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// All users must be able to enter it: containers with user namespaces do.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	runner := &runner{suite: s, runtime: path, dir: dir, limit: limit, lanes: lanes, exceptions: exceptions(r.Host)}
	if r.Results, err = runner.all(ctx, tests); err != nil {
		return nil, err
	}
	return r, nil
}

// all runs programs, several side by side, and returns their results in the order of the names.
// Most of the time they sleep.
func (r *runner) all(ctx context.Context, tests []string) ([]result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]result, len(tests))
	next := make(chan int)
	work := func(i int) {
		judged, err := r.expected(ctx, tests[i])
		if err != nil {
			cancel(err)
			return
		}
		results[i] = judged
	}
	var lanes sync.WaitGroup
	for lane := range r.lanes {
		lanes.Go(func() {
			if lane == 0 {
				if err := r.alone(ctx, tests, work); err != nil {
					cancel(err)
				}
			}
			for i := range next {
				work(i)
			}
		})
	}
	for i, test := range tests {
		if !needsOf(test).alone() && ctx.Err() == nil {
			next <- i
		}
	}
	close(next)
	lanes.Wait()
	return results, context.Cause(ctx)
}

// alone runs those programs, one after the other, that need what they can't share.
func (r *runner) alone(ctx context.Context, tests []string, work func(i int)) error {
	var unlock func()
	for i, test := range tests {
		if !needsOf(test).alone() || ctx.Err() != nil {
			continue
		}
		if unlock == nil {
			var err error
			if unlock, err = lockControllers(); err != nil {
				return err
			}
			defer unlock()
		}
		work(i)
	}
	return nil
}

// expected runs a program, and repeats it after an unexpected result: many programs wait for a
// fixed time, and the machine may be busy.
func (r *runner) expected(ctx context.Context, test string) (judged result, err error) {
	for runs := 1; runs <= 2; runs++ {
		judged, err = r.run(ctx, test)
		if err != nil {
			return judged, err
		}
		judged.Runs = runs
		if judged.Outcome == skipped {
			return judged, nil
		}
		expect(&judged, r.exceptions)
		if len(judged.Problems) == 0 {
			return judged, nil
		}
	}
	return judged, nil
}

// run runs one program.
func (r *runner) run(ctx context.Context, test string) (result, error) {
	dir, err := os.MkdirTemp(r.dir, test+"-")
	if err != nil {
		return result{}, err
	}
	tmp := filepath.Join(dir, "tmp")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(tmp, 0o755)); err != nil {
		return result{}, err
	}
	for _, file := range []string{r.suite.program("runtimetest"), r.suite.rootfs} {
		// Links would do, but the suite copies links as links.
		if err := copyFile(file, filepath.Join(dir, filepath.Base(file))); err != nil {
			return result{}, err
		}
	}
	s := stage{
		Program: r.suite.program(test), Dir: dir, Runtime: r.runtime, Tmp: tmp, Limit: r.limit,
		Cgroup: fmt.Sprintf("orlop-conformance-%d-%s", os.Getpid(), test), Needs: needsOf(test),
	}
	begin := time.Now()
	stdout, stderr, status, err := s.run(ctx)
	if err != nil {
		return result{}, err
	}
	switch {
	case ctx.Err() != nil:
		return result{}, context.Cause(ctx)
	case status == statusBroken:
		return result{}, fmt.Errorf("%s: %s", test, stderr)
	case status == statusCannot:
		return result{Test: test, Outcome: skipped, Reason: strings.TrimSpace(stderr)}, nil
	}
	judged := judge(test, stdout, stderr, status)
	judged.Seconds = time.Since(begin).Round(time.Millisecond).Seconds()
	return judged, nil
}

// run runs the stage's program in its environment.
func (s *stage) run(ctx context.Context) (stdout, stderr string, status int, err error) {
	cmd, err := s.command(ctx, roleOuter)
	if err != nil {
		return "", "", 0, err
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it has cgroups to remove
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		status, err = exit.ExitCode(), nil
	}
	return out.String(), said.String(), status, err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
