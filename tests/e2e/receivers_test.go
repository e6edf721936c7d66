package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// deaf returns a socket from which nobody reads. A full one has no room for another connection;
// otherwise there is room for one, which nobody accepts.
func deaf(t *testing.T, b *harness.Box, full bool) string {
	t.Helper()
	path := filepath.Join(b.Dir, "deaf")
	socket := func(kind int) int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|kind, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	listener := socket(0)
	must(t, unix.Bind(listener, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Chmod(path, 0o666))
	must(t, unix.Listen(listener, 0))
	for full {
		if err := unix.Connect(socket(unix.SOCK_NONBLOCK), &unix.SockaddrUnix{Name: path}); errors.Is(err, unix.EAGAIN) {
			break
		} else {
			must(t, err)
		}
	}
	return path
}

// TestDeafReceiver: a command waits ten seconds for a receiver that does not read a descriptor.
// What fits in its socket is sent all the same.
func TestDeafReceiver(t *testing.T) {
	harness.OrlopOnly(t, "others wait for ever")
	create := func(flags ...string) []string {
		return append(flags, "--bundle", "BUNDLE", "ID")
	}
	agent := func(annotation string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			withCalls(specs.ActNotify, "mkdir", "mkdirat")(s)
			s.Linux.Seccomp.ListenerPath = "SOCKET"
			s.Annotations = map[string]string{"x": annotation}
		}
	}
	both := func(list ...func(*specs.Spec)) func(*specs.Spec) {
		return func(s *specs.Spec) {
			for _, change := range list {
				change(s)
			}
		}
	}
	cases := []struct {
		name   string
		change func(*specs.Spec)
		before []string // a command, nil for none
		args   []string
		full   bool
		fails  bool
	}{
		{"console, create", terminal, nil, create("create", "--console-socket", "SOCKET"), true, true},
		{"console, run", terminal, nil, create("run", "--detach", "--console-socket", "SOCKET"), true, true},
		{"console, exec", nop, create("run", "--detach"), []string{"exec", "--tty", "--detach", "--console-socket", "SOCKET", "ID", "true"}, true, true},
		{"console, not accepted", terminal, nil, create("create", "--console-socket", "SOCKET"), false, false},
		{"pidfd, create", nop, nil, create("create", "--pidfd-socket", "SOCKET"), true, true},
		{"pidfd, exec", nop, create("run", "--detach"), []string{"exec", "--detach", "--pidfd-socket", "SOCKET", "ID", "true"}, true, true},
		{"pidfd by annotation", annotated("run.oci.pidfd_receiver", "SOCKET"), nil, create("create"), true, true},
		{"agent, start", agent(""), create("create"), []string{"start", "ID"}, true, true},
		{"agent, run", agent(""), nil, create("run", "--detach"), true, true},
		{"agent, more than the socket holds", agent(strings.Repeat("x", 1<<20)), create("create"), []string{"start", "ID"}, false, true},
	}
	// All wait at the same time, for ten seconds.
	type waiting struct {
		box     *harness.Box
		process *harness.Process
	}
	all := make([]waiting, len(cases))
	for i, tc := range cases {
		b := harness.New(t, both(harness.Args("sleep", "1000"), tc.change))
		if strings.HasPrefix(tc.name, "agent") {
			needSeccomp(t, b)
		}
		words := strings.NewReplacer("SOCKET", deaf(t, b, tc.full), "BUNDLE", b.Bundle, "ID", b.ID)
		config := filepath.Join(b.Bundle, "config.json")
		must(t, os.WriteFile(config, []byte(words.Replace(read(t, config))), 0o644))
		fill := func(args []string) []string {
			return strings.Split(words.Replace(strings.Join(args, "\n")), "\n")
		}
		if tc.before != nil {
			b.OK(fill(tc.before)...)
		}
		b.Global = []string{"--log-format", "json"}
		c := b.Cmd(fill(tc.args)...)
		c.Limit = atOnce
		all[i] = waiting{b, c.Start()}
	}
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b, r := all[i].box, all[i].process.Wait()
			if !tc.fails {
				r.OK(b)
			} else {
				r.Fails(b, "the receiver has not taken it within 10s").Fails(b, `"code":"timeout"`)
			}
			if tc.before != nil {
				b.OK("delete", "--force", b.ID)
			}
			if tc.fails {
				b.CheckClean()
			}
		})
	}
}

// TestMapProgramThatHangs: newuidmap and newgidmap are killed after a timeout of thirty seconds.
func TestMapProgramThatHangs(t *testing.T) {
	programs := [2]string{"newuidmap", "newgidmap"}
	var boxes [2]*harness.Box
	var creates [2]*harness.Process
	for i, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s (Debian: uidmap)", program)
		}
		b := harness.New(t)
		asOrdinary(t, b)
		withUser([]specs.LinuxIDMapping{{ContainerID: 0, HostID: ordinary, Size: 1}, {ContainerID: 1, HostID: subordinate, Size: 65536}})(b.Spec)
		b.Write()
		dir := filepath.Join(b.Dir, "bin")
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\nexec sleep 3000\n"), 0o755))
		b.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
		b.Global = []string{"--log-format", "json"}
		boxes[i], creates[i] = b, b.Cmd("create", "--bundle", b.Bundle, b.ID).Start()
	}
	for i, program := range programs {
		creates[i].Wait().Fails(boxes[i], program+": has not ended within 30s, and was killed").Fails(boxes[i], `"code":"timeout"`)
		boxes[i].CheckClean()
	}
}
