package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

func TestExecStatus(t *testing.T) {
	b := harness.New(t)
	b.Up()
	for args, status := range map[string]int{
		"true": 0, "false": 1, "/bin/true": 0, "sh -c exit\t9": 9, "sh -c kill\t-KILL\t$$": 137,
	} {
		words := strings.Split(args, " ")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\t", " ")
		}
		b.Do(append([]string{"exec", b.ID}, words...)...).Exits(b, status)
	}
}

// TestExecNotFound: a failed exec is distinguished from a program's own status: 255.
func TestExecNotFound(t *testing.T) {
	b := harness.New(t)
	b.Up()
	for path, text := range map[string]string{
		"/no/such/file": "no such file or directory", "no-such-program": "executable file not found in", "/etc/passwd": "permission denied",
	} {
		r := b.Do("exec", b.ID, path).Fails(b, text)
		if r.Status != 255 {
			t.Errorf("%s: status %d, want 255", path, r.Status)
		}
	}
	b.Status("running")
}

// TestExecCap: a capability of --cap becomes ambient if the configuration makes it inheritable, and
// never becomes inheritable.
func TestExecCap(t *testing.T) {
	const kill, chown, netRaw = 1 << 5, 1 << 0, 1 << 13
	cases := []struct {
		name        string
		inheritable []string
		flags       []string
		// inheritable, permitted, effective, bounding, ambient
		want [5]uint64
	}{
		{"none inheritable, root", nil, []string{"--cap", "CAP_NET_RAW"}, [5]uint64{0, kill | netRaw, kill | netRaw, kill | netRaw, 0}},
		{"none inheritable, a user", nil, []string{"--cap", "CAP_KILL", "--user", "1000"}, [5]uint64{0, 0, 0, kill, 0}},
		{"an empty list, a user", []string{}, []string{"--cap", "CAP_KILL", "--user", "1000"}, [5]uint64{0, 0, 0, kill, 0}},
		{"inheritable, root", []string{"CAP_KILL"}, []string{"--cap", "CAP_KILL"}, [5]uint64{kill, kill, kill, kill, kill}},
		{"inheritable, a user", []string{"CAP_KILL"}, []string{"--cap", "CAP_KILL", "--user", "1000"}, [5]uint64{kill, kill, kill, kill, kill}},
		{"inheritable and not had, a user", []string{"CAP_CHOWN"}, []string{"--cap", "CAP_CHOWN", "--user", "1000"},
			[5]uint64{chown, chown, chown, kill | chown, chown}},
		{"another inheritable, a user", []string{"CAP_KILL"}, []string{"--cap", "CAP_NET_RAW", "--user", "1000"}, [5]uint64{kill, 0, 0, kill | netRaw, 0}},
		{"inheritable without --cap", []string{"CAP_KILL"}, []string{"--user", "1000"}, [5]uint64{kill, 0, 0, kill, 0}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Caps("CAP_KILL"))
			b.Spec.Process.NoNewPrivileges = false
			caps := b.Spec.Process.Capabilities
			caps.Inheritable = tc.inheritable
			// The kernel requires it there.
			caps.Bounding = append(caps.Bounding[:1:1], tc.inheritable...)
			b.Up()
			want := ""
			for _, set := range tc.want {
				want += fmt.Sprintf("%016x\n", set)
			}
			args := append(append([]string{"exec"}, tc.flags...), b.ID, "sh", "-c", "grep ^Cap /proc/self/status | cut -f2")
			if got := b.OK(args...); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestExecFlags(t *testing.T) {
	b := harness.New(t)
	b.Spec.Process.Env = append(b.Spec.Process.Env, "DECK=orlop")
	b.Up()
	cases := []struct {
		name   string
		flags  []string
		script string
		want   string
	}{
		{"stdout", nil, "echo hello", "hello"},
		{"same namespaces", nil, "readlink /proc/1/ns/net > /dev/shm/1; readlink /proc/self/ns/net | cmp - /dev/shm/1 && echo same", "same"},
		{"container's env", nil, "echo $DECK", "orlop"},
		{"env", []string{"--env", "A=1", "--env", "B=two words"}, "echo $A $B", "1 two words"},
		{"env wins", []string{"--env", "DECK=poop"}, "echo $DECK", "poop"},
		{"env by letter", []string{"-e", "A=1", "-e", "B=2"}, "echo $A $B", "1 2"},
		{"cwd", []string{"--cwd", "/home"}, "pwd", "/home"},
		{"user", []string{"--user", "1000"}, "id -u; id -g", "1000\n0"},
		{"user and group", []string{"-u", "1000:1001"}, "id -u; id -g", "1000\n1001"},
		{"HOME of user", []string{"--user", "1000:1001"}, "echo $HOME", "/home/sailor"},
		{"HOME of root", nil, "echo $HOME", "/root"},
		{"additional gids", []string{"-g", "2000", "-g", "2001"}, "grep ^Groups: /proc/self/status | cut -f2 | xargs", "2000 2001"},
		{"no capability beyond the container's", nil, "grep ^CapEff /proc/self/status | cut -f2", "0000000020000420"},
		{"cap", []string{"--cap", "CAP_SYS_ADMIN"}, "grep ^CapPrm /proc/self/status | cut -f2", "0000000020200420"},
		{"cap is not inheritable", []string{"--cap", "CAP_SYS_ADMIN"}, "grep ^CapInh /proc/self/status | cut -f2", "0000000000000000"},
		{"no ambient capability", []string{"--cap", "CAP_SYS_ADMIN"}, "grep ^CapAmb /proc/self/status | cut -f2", "0000000000000000"},
		{"no new privileges", []string{"--no-new-privs"}, "grep ^NoNewPrivs /proc/self/status | cut -f2", "1"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if harness.Name() == "runc" && tc.name == "cap is not inheritable" {
				t.Skip("orlop only: this runc makes them inheritable")
			}
			b.T = t
			args := append(append([]string{"exec"}, tc.flags...), b.ID, "sh", "-c", tc.script)
			if out := strings.TrimSpace(b.OK(args...)); out != tc.want {
				t.Errorf("got %q, want %q", out, tc.want)
			}
		})
	}
	b.T = t
}

// TestExecUser: a numeric user is a UID, whatever the image's passwd says (CVE-2016-3697).
func TestExecUser(t *testing.T) {
	b := harness.New(t)
	passwd := "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/:/bin/sh\n"
	if err := os.WriteFile(filepath.Join(b.Rootfs, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	b.Up()
	if out := b.OK("exec", "-u", "1000", b.ID, "id", "-u"); out != "1000\n" {
		t.Errorf("uid %q", out)
	}
	for _, user := range []string{"-1", "4294967296", "0x1", "1 ", "1:", ":1", "1:2:3", "1:-2"} {
		r := b.Do("exec", "--user="+user, b.ID, "id", "-u")
		if r.Status != 0 {
			continue
		}
		if harness.Name() != "orlop" {
			continue // other runtimes accept some of them
		}
		t.Errorf("user %q is taken: uid %q", user, r.Stdout)
	}
}

// TestExecCommandLine: "--" may separate the command, before and after the container, and is not
// part of it; short flags may be grouped.
func TestExecCommandLine(t *testing.T) {
	harness.OrlopOnly(t, "others differ in what they take")
	b := harness.New(t)
	b.Up()
	for _, tc := range []struct{ line, want string }{
		{"exec ID -- echo x", "x\n"},
		{"exec -- ID echo x", "x\n"},
		{"exec -- ID -- echo x", "x\n"},
		{"exec ID echo -- x", "-- x\n"},
		{"exec ID -- echo -- x", "-- x\n"},
		{"exec --env A=1 ID -- sh -c echo\t$A", "1\n"},
		{"exec -ie A=1 ID sh -c echo\t$A", "1\n"},
		{"exec -i ID echo x", "x\n"},
		{"ps -- ID", ""},
		{"ps ID -- -o pid", ""},
	} {
		words := strings.Split(strings.ReplaceAll(tc.line, "ID", b.ID), " ")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\t", " ")
		}
		got := b.OK(words...)
		if tc.want != "" && got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.line, got, tc.want)
		}
	}
	b.Fails("no command after --", "exec", b.ID, "--")
	run := harness.New(t, harness.Args("echo", "x"))
	if got := run.OK("run", "--bundle", run.Bundle, "--", run.ID); got != "x\n" {
		t.Errorf("run --: got %q", got)
	}
}

func TestExecDetach(t *testing.T) {
	b := harness.New(t)
	b.Up()
	pidFile := filepath.Join(b.Dir, "exec.pid")
	lines := b.Lines()
	c := b.Cmd("exec", "--detach", "--pid-file", pidFile, b.ID, "sh", "-c", "echo up; exec sleep 1000")
	c.Stdout = lines.Writer
	c.Run().OK(b)
	lines.Writer.Close()
	lines.Next()
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(data)) // digits only
	if err != nil {
		t.Fatal(err)
	}
	container := "/proc/" + strconv.Itoa(b.State().Pid) + "/ns/pid"
	if got, want := link(t, "/proc/"+strconv.Itoa(pid)+"/ns/pid"), link(t, container); got != want {
		t.Errorf("process %d of the pid file is in %s, the container in %s", pid, got, want)
	}
	b.OK("kill", b.ID, "KILL")
	// It was a child of the runtime and so becomes a child of the caller.
	if status := b.WaitStatus(pid); status != 137 {
		t.Errorf("status %d, want 137", status)
	}
	lines.End()
}

func TestExecStdin(t *testing.T) {
	b := harness.New(t)
	b.Up()
	c := b.Cmd("exec", b.ID, "tr", "a-z", "A-Z")
	c.Stdin = strings.NewReader("shout\n")
	if out := c.Run().OK(b); out != "SHOUT\n" {
		t.Errorf("got %q", out)
	}
}

func TestExecForwardsSignals(t *testing.T) {
	if harness.Name() == "runc" {
		t.Skip("runc 1.1 hangs when a signal comes right after the program's start")
	}
	b := harness.New(t)
	b.Up()
	lines := b.Lines()
	c := b.Cmd("exec", b.ID, "sh", "-c", "trap 'exit 34' USR1; echo up; while :; do sleep 1000 & wait; done")
	c.Stdout = lines.Writer
	p := c.Start()
	lines.Writer.Close()
	lines.Next()
	p.Signal(10)
	p.Wait().Exits(b, 34)
	// The sleep that the shell left belongs to the container.
	b.Status("running")
}

// TestExecProcess: the whole process from a file, as containerd passes it.
func TestExecProcess(t *testing.T) {
	b := harness.New(t)
	b.Up()
	write := func(p specs.Process) string {
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(b.Dir, "process.json")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := specs.Process{
		Args: []string{"sh", "-c", "id -u; id -g; pwd; echo $HOME $A; grep ^CapBnd /proc/self/status | cut -f2; ulimit -n"},
		Env:  []string{"PATH=/bin", "A=1"}, Cwd: "/tmp",
		User:         specs.User{UID: 1000, GID: 1001},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
		Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 64, Hard: 128}},
	}
	want := "1000\n1001\n/tmp\n/home/sailor 1\n0000000000000020\n64\n"
	if out := b.OK("exec", "--process", write(p), b.ID); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	p.Cwd = "relative"
	b.Fails("", "exec", "--process", write(p), b.ID)
	p.Cwd, p.Args = "/", nil
	b.Fails("", "exec", "--process", write(p), b.ID)
	b.Fails("no such file or directory", "exec", "--process", filepath.Join(b.Dir, "absent"), b.ID)
}

// TestExecCgroup: an executed process is in the container's cgroups from the start.
func TestExecCgroup(t *testing.T) {
	b := harness.New(t)
	pid := b.Up()
	want, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if out := b.OK("exec", b.ID, "cat", "/proc/self/cgroup"); out != string(want) {
		t.Errorf("got %q, want %q", out, want)
	}
	if !strings.Contains(string(want), harness.CgroupParent()+"/"+b.ID) {
		t.Errorf("the container is in %q", want)
	}
}
