package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// TestProcess: the fields of process in config.json, as the process sees them.
func TestProcess(t *testing.T) {
	process := func(change func(*specs.Process)) func(*specs.Spec) {
		return func(s *specs.Spec) { change(s.Process) }
	}
	user := func(u specs.User) func(*specs.Spec) { return process(func(p *specs.Process) { p.User = u }) }
	env := func(env ...string) func(*specs.Spec) { return process(func(p *specs.Process) { p.Env = env }) }
	cwd := func(path string) func(*specs.Spec) { return process(func(p *specs.Process) { p.Cwd = path }) }
	status := func(name string) string { return "grep '^" + name + ":' /proc/self/status | cut -f2-" }
	umask, score := uint32(0o027), 500
	cases := []struct {
		name   string
		change func(*specs.Spec)
		script string
		want   string
	}{
		{"uid and gid", user(specs.User{UID: 1000, GID: 1001}), status("[UG]id"), "1000\t1000\t1000\t1000\n1001\t1001\t1001\t1001"},
		{"unknown uid", user(specs.User{UID: 4242, GID: 4243}), "id -u; id -g", "4242\n4243"},
		{"additional gids", user(specs.User{AdditionalGids: []uint32{7, 5, 2000}}), status("Groups") + " | xargs", "5 7 2000"},
		{"no additional gids", user(specs.User{UID: 1000, GID: 1001}), status("Groups") + " | xargs", ""},
		{"umask", user(specs.User{Umask: &umask}), "umask", "0027"},
		{"umask not given", nop, "umask", "0022"},

		{"capabilities", nop, status("Cap\\(Inh\\|Prm\\|Eff\\|Bnd\\|Amb\\)"),
			"0000000000000000\n0000000020000420\n0000000020000420\n0000000020000420\n0000000000000000"},
		{"all five sets differ", process(func(p *specs.Process) {
			p.Capabilities = &specs.LinuxCapabilities{
				Bounding:    []string{"CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"},
				Permitted:   []string{"CAP_CHOWN", "CAP_KILL", "CAP_SETUID"},
				Effective:   []string{"CAP_CHOWN"},
				Inheritable: []string{"CAP_KILL", "CAP_SETUID"},
				Ambient:     []string{"CAP_KILL"},
			}
			// As a user other than root, because execve(2) changes root's.
			p.User = specs.User{UID: 1000, GID: 1001}
		}), status("Cap\\(Inh\\|Prm\\|Eff\\|Bnd\\|Amb\\)"),
			"00000000000000a0\n0000000000000020\n0000000000000020\n00000000000020a1\n0000000000000020"},
		{"no capabilities", process(func(p *specs.Process) { p.Capabilities = nil }), status("Cap\\(Prm\\|Eff\\|Bnd\\)"),
			"0000000000000000\n0000000000000000\n0000000000000000"},
		{"capabilities of a user", user(specs.User{UID: 1000}), status("Cap\\(Prm\\|Eff\\)"), "0000000000000000\n0000000000000000"},

		{"rlimits", process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NPROC", Soft: 300, Hard: 300}}
		}), "grep -E '^Max (open files|core|proc)' /proc/self/limits | tr -s ' ' | sed 's/ $//'",
			"Max core file size 0 0 bytes\nMax processes 300 300 processes\nMax open files 100 200 files"},
		{"oom score", process(func(p *specs.Process) { p.OOMScoreAdj = &score }), "cat /proc/self/oom_score_adj", "500"},
		{"no new privileges", nop, status("NoNewPrivs"), "1"},
		{"new privileges", process(func(p *specs.Process) { p.NoNewPrivileges = false }), status("NoNewPrivs"), "0"},

		{"cwd", cwd("/home"), "pwd; readlink /proc/self/cwd", "/home\n/home"},
		{"cwd is made", cwd("/made/on/the/way"), "pwd", "/made/on/the/way"},

		{"env as given", env("B=two words", "C=", "A=1"), "/bin/busybox env | /bin/busybox grep ^[A-C]= | /bin/busybox sort", "A=1\nB=two words\nC="},
		{"HOME of root", env("PATH=/bin"), "echo $HOME", "/root"},
		{"HOME from passwd", user(specs.User{UID: 1000, GID: 1001}), "echo $HOME", "/home/sailor"},
		{"HOME of unknown", user(specs.User{UID: 4242}), "echo $HOME", "/"},
		{"HOME as given", env("PATH=/bin", "HOME=/elsewhere"), "echo $HOME", "/elsewhere"},

		{"hostname", func(s *specs.Spec) { s.Hostname = "lower-deck" }, "hostname", "lower-deck"},
		{"a session of its own", nop, "cut -d' ' -f6 /proc/1/stat", "1"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Writable, tc.change)
			// By path: some cases have no PATH.
			if got := strings.TrimRight(b.Run(harness.Args("/bin/sh", "-c", tc.script)).OK(b), "\n"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func nop(*specs.Spec) {}

func TestDomainname(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.2")
	b := harness.New(t)
	b.Spec.Domainname = "deck.example"
	if got := b.Sh("cat /proc/sys/kernel/domainname"); got != "deck.example\n" {
		t.Errorf("got %q", got)
	}
}

// TestPath: the program is looked up in the container's PATH, from its cwd for relative names.
func TestPath(t *testing.T) {
	cases := []struct {
		name, path, cwd string
		arg             string
		text            string // of the failure, "" for none
	}{
		{"second directory", "PATH=/home/empty:/opt/tools", "/", "tool", ""},
		{"relative path", "PATH=/bin", "/opt", "./tools/tool", ""},
		{"relative path with a slash", "PATH=/bin", "/opt", "tools/tool", ""},
		{"not executable is passed over", "PATH=/etc:/opt/tools", "/", "tool", ""},
		{"none", "PATH=/bin", "/", "tool", "executable file not found in"},
		{"no PATH", "A=1", "/", "tool", "executable file not found in"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Args(tc.arg))
			if err := os.MkdirAll(filepath.Join(b.Rootfs, "opt/tools"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(b.Rootfs, "opt/tools/tool"), []byte("#!/bin/sh\necho $0\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(b.Rootfs, "etc/tool"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			b.Spec.Process.Env, b.Spec.Process.Cwd = []string{tc.path}, tc.cwd
			b.Write()
			if tc.text != "" {
				b.Fails(tc.text, "run", "--bundle", b.Bundle, b.ID)
				return
			}
			if got := b.OK("run", "--bundle", b.Bundle, b.ID); !strings.HasSuffix(got, "tools/tool\n") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestCwdStaysInside: a descriptor that is left open doesn't lead out (CVE-2024-21626).
func TestCwdStaysInside(t *testing.T) {
	outside, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	for fd := 3; fd <= 30; fd++ {
		b := harness.New(t, harness.Sh("ls -d /proc/self/cwd/../../etc/passwd; cat /proc/self/cwd/etc/os-release"))
		b.Spec.Process.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
		b.Write()
		c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
		for range 6 {
			c.Files = append(c.Files, outside)
		}
		if r := c.Run(); strings.Contains(r.Stdout, "NAME=") {
			t.Fatalf("cwd %s is outside: %s", b.Spec.Process.Cwd, r.Stdout)
		}
	}
}

// TestConfigWithoutOptionals: only what the specification requires.
func TestConfigWithoutOptionals(t *testing.T) {
	harness.OrlopOnly(t, "runc needs a /proc in the container")
	b := harness.New(t)
	b.WriteConfig([]byte(`{"ociVersion":"1.0.0","root":{"path":"rootfs"},"process":{"cwd":"/","args":["/bin/echo","bare"]},
		"linux":{"namespaces":[{"type":"mount"}],"cgroupsPath":"` + harness.CgroupParent() + "/" + b.ID + `"}}`))
	if got := b.OK("run", "--bundle", b.Bundle, b.ID); got != "bare\n" {
		t.Errorf("got %q", got)
	}
}

// TestLargeConfig: more than 64 KiB of environment and mounts (CVE-2021-43784).
func TestLargeConfig(t *testing.T) {
	b := harness.New(t)
	for i := range 40 {
		b.Spec.Process.Env = append(b.Spec.Process.Env, fmt.Sprintf("LARGE%d=%s", i, strings.Repeat("x", 10_000)))
	}
	source := hostDir(t, b, "volume")
	for i := range 60 {
		harness.WithMount(fmt.Sprintf("/mnt/%d", i), "bind", source, "bind")(b.Spec)
	}
	if got := b.Sh("echo ${#LARGE39}; cat /mnt/59/f"); got != "10000\nof volume\n" {
		t.Errorf("got %q", got)
	}
}
