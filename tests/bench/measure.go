package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// operation is a measured command.
type operation struct {
	name string
	// args of the measured command. BUNDLE, SECCOMP, ID and LIVE stand for the bundle of /bin/true,
	// the same with Docker's default seccomp profile, the id of the container made from either, and
	// the runtime's running container.
	args string
	// prepare is what runs before each measured run: one command of the runtime in each line, or
	// "wait", which waits until the container has stopped, or "pause", in which the kernel comes to
	// rest: what it does for a container goes on for tens of milliseconds after its end.
	prepare string
}

func operations() []operation {
	return []operation{
		{"run", "run --bundle BUNDLE ID", ""},
		{"run-alone", "run --bundle BUNDLE ID", "pause"},
		{"run-seccomp", "run --bundle SECCOMP ID", ""},
		{"run-seccomp-alone", "run --bundle SECCOMP ID", "pause"},
		{"create", "create --bundle BUNDLE ID", "delete --force ID"},
		{"start", "start ID", "delete --force ID\ncreate --bundle BUNDLE ID"},
		{"exec", "exec LIVE /bin/true", ""},
		{"exec-alone", "exec LIVE /bin/true", "pause"},
		{"state", "state LIVE", ""},
		{"delete", "delete ID", "delete --force ID\ncreate --bundle BUNDLE ID\nstart ID\nwait"},
	}
}

// words fills in an operation's command line.
func (s *stage) words(r runtime, args string) []string {
	fields := strings.Fields(args)
	for i, field := range fields {
		switch field {
		case "BUNDLE":
			fields[i] = s.path("true")
		case "SECCOMP":
			fields[i] = s.path("seccomp")
		case "ID":
			fields[i] = "bench-" + r.Name
		case "LIVE":
			fields[i] = "live-" + r.Name
		}
	}
	return s.command(r, fields...)
}

// script writes the preparation as a shell script and returns its path, or "" when there is none.
func (s *stage) script(r runtime, op operation) (string, error) {
	if op.prepare == "" {
		return "", nil
	}
	var b strings.Builder
	b.WriteString("set -e\n")
	for line := range strings.Lines(op.prepare) {
		if line = strings.TrimSpace(line); line == "wait" {
			fmt.Fprintf(&b, "while %s | grep -q running; do :; done\n", quote(s.words(r, "state ID")))
		} else if line == "pause" {
			b.WriteString("sleep 0.06\n")
		} else {
			fmt.Fprintf(&b, "%s </dev/null >/dev/null\n", quote(s.words(r, line)))
		}
	}
	path := s.path("prepare-" + op.name + "-" + r.Name + ".sh")
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}

// quote makes one shell word of each; the words are paths and names of ours, without quotes in
// them.
func quote(words []string) string {
	return "'" + strings.Join(words, "' '") + "'"
}

// times measures the wall time of an operation, in seconds, for each runtime. The runtimes take
// turns: a few runs of one, then of the next. Each round starts with another runtime.
func (s *stage) times(ctx context.Context, op operation, rounds, runs int) (map[string][]float64, error) {
	all := map[string][]float64{}
	for round := range rounds {
		for i := range s.runtimes {
			r := s.runtimes[(round+i)%len(s.runtimes)]
			prepare, err := s.script(r, op)
			if err != nil {
				return nil, err
			}
			times, err := s.hyperfine(ctx, s.words(r, op.args), prepare, runs)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name, err)
			}
			all[r.Name] = append(all[r.Name], times...)
		}
	}
	return all, s.cleanUp(ctx)
}

// cleanUp deletes the containers that operations leave.
func (s *stage) cleanUp(ctx context.Context) error {
	for _, r := range s.runtimes {
		if err := s.do(ctx, r, "delete", "--force", "bench-"+r.Name); err != nil {
			return err
		}
	}
	return nil
}

// hyperfine measures one command and returns the time of each run. The first run warms the caches.
func (s *stage) hyperfine(ctx context.Context, words []string, prepare string, runs int) ([]float64, error) {
	result := s.path("hyperfine.json")
	args := []string{"--shell", "none", "--style", "none", "--warmup", "1", "--runs", strconv.Itoa(runs), "--export-json", result}
	if prepare != "" {
		args = append(args, "--prepare", "sh "+prepare)
	}
	cmd := exec.CommandContext(ctx, "hyperfine", append(args, quote(words))...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second // a container may hold the pipe
	err := cmd.Run()
	reap()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("hyperfine %s: %w: %s", strings.Join(words, " "), err, said.String())
	}
	data, err := os.ReadFile(result)
	if err != nil {
		return nil, err
	}
	return parseTimes(data)
}

// parseTimes reads hyperfine's export of one command.
func parseTimes(data []byte) ([]float64, error) {
	var export struct {
		Results []struct {
			Times []float64 `json:"times"`
		} `json:"results"`
	}
	if err := json.Unmarshal(data, &export); err != nil {
		return nil, fmt.Errorf("hyperfine's export: %w", err)
	}
	if len(export.Results) != 1 || len(export.Results[0].Times) == 0 {
		return nil, errors.New("hyperfine's export: no times")
	}
	return export.Results[0].Times, nil
}

// memory measures the peak memory of an operation, in KiB, for each runtime, several times.
func (s *stage) memory(ctx context.Context, op operation, runs int) (map[string][]float64, error) {
	all := map[string][]float64{}
	for range runs {
		for _, r := range s.runtimes {
			prepare, err := s.script(r, op)
			if err != nil {
				return nil, err
			}
			if prepare != "" {
				if err := exec.CommandContext(ctx, "sh", prepare).Run(); err != nil {
					return nil, fmt.Errorf("%s: prepare: %w", r.Name, err)
				}
				reap()
			}
			kib, err := s.peak(s.words(r, op.args))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name, err)
			}
			all[r.Name] = append(all[r.Name], float64(kib))
		}
	}
	return all, s.cleanUp(ctx)
}

// peak runs a command and returns the largest resident set, in KiB, of its process and of those
// that it waited for. A process inherits the peak of its creator across execve, and this program's
// is larger than the measured ones. Therefore busybox's shell creates the process, exits, and
// leaves it to this program, the subreaper.
func (s *stage) peak(words []string) (int64, error) {
	shell := exec.Command(s.busybox, "sh", "-c", quote(words)+" </dev/null >/dev/null 2>&1 & echo $!")
	out, err := shell.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := shell.Start(); err != nil {
		return 0, err
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(readErr, shell.Wait()); err != nil {
		return 0, fmt.Errorf("shell: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0, err
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &usage); err != syscall.EINTR {
			break
		}
	}
	reap()
	if err != nil {
		return 0, fmt.Errorf("wait4: %w", err)
	}
	if status.ExitStatus() != 0 {
		return 0, fmt.Errorf("%s: status %d", strings.Join(words, " "), status.ExitStatus())
	}
	return usage.Maxrss, nil
}

// limits finds, for each runtime, the smallest memory limit in bytes under which /bin/true runs
// three times in a row; 0 when it runs under none that was tried.
func (s *stage) limits(ctx context.Context) (map[string]int64, error) {
	const kib = 1024
	found := map[string]int64{}
	for _, r := range s.runtimes {
		for _, limit := range []int64{64 * kib, 128 * kib, 192 * kib, 256 * kib, 384 * kib, 512 * kib, 768 * kib, 1024 * kib,
			1536 * kib, 2048 * kib, 3072 * kib, 4096 * kib, 6144 * kib, 8192 * kib, 12288 * kib, 16384 * kib, 32768 * kib} {
			if err := s.bundle("limited", []string{"/bin/true"}, limit, nil); err != nil {
				return nil, err
			}
			if s.fits(ctx, r) {
				found[r.Name] = limit
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	return found, os.RemoveAll(filepath.Join(s.dir, "limited"))
}

// fits tells whether the limited bundle runs three times in a row.
func (s *stage) fits(ctx context.Context, r runtime) bool {
	for range 3 {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := s.do(limited, r, "run", "--bundle", s.path("limited"), "limited-"+r.Name)
		cancel()
		if err != nil {
			// Some leave their container when the kernel kills a part of them.
			_ = s.do(ctx, r, "delete", "--force", "limited-"+r.Name)
			return false
		}
	}
	return true
}
