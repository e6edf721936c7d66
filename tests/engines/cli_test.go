package engines

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Docker's command line, which Podman's follows: what is tested here holds for both.

// cli is such an engine.
type cli struct {
	client
	name     string   // "docker", "podman"
	flags    []string // of each run and create
	noLimits bool     // it cannot limit resources here: an ordinary user's engine on cgroup v1
	noFreeze bool     // nor freeze
}

// run runs a container in the foreground.
func (c *cli) run(t *testing.T, flags []string, args ...string) answer {
	t.Helper()
	return c.do(t, c.line(flags, args...)...)
}

// line is the command line of run.
func (c *cli) line(flags []string, args ...string) []string {
	return append(append(append(append([]string{"run"}, c.flags...), flags...), image), args...)
}

// up starts a container that runs until it is told to stop, and removes it when the test ends.
func (c *cli) up(t *testing.T, name string, flags []string, args ...string) {
	t.Helper()
	if len(args) == 0 {
		args = []string{"sh", "-c", "echo up; trap 'exit 5' TERM; while :; do sleep 1000 & wait $!; done"}
	}
	t.Cleanup(func() { c.remove(t, name) })
	c.run(t, append([]string{"--detach", "--name", name}, flags...), args...).exits(t, 0)
}

// remove removes a container, also a running one.
func (c *cli) remove(t *testing.T, name string) {
	t.Helper()
	args := []string{"rm", "--force"}
	if c.name == "podman" {
		args = append(args, "--time", "0")
	}
	if a := c.do(t, append(args, name)...); a.status != 0 && !strings.Contains(a.err, "No such container") {
		t.Errorf("%q: status %d: %s", a.args, a.status, a.err)
	}
}

// inspect returns a field of a container.
func (c *cli) inspect(t *testing.T, name, template string) string {
	t.Helper()
	return c.ok(t, "inspect", "--format", template, name)
}

// testRun: what a container's program says and returns.
func testRun(t *testing.T, c *cli) {
	t.Run("output and status", func(t *testing.T) {
		a := c.run(t, []string{"--rm"}, "sh", "-c", "echo out; echo err >&2; exit 7")
		a.exits(t, 7)
		equal(t, "output", a.out+a.err, "out\nerr\n")
	})
	t.Run("standard input", func(t *testing.T) {
		a := c.feed(t, "line\n", c.line([]string{"--rm", "--interactive"}, "cat")...)
		equal(t, "output", a.exits(t, 0), "line")
	})
	for _, tc := range []struct {
		name, program, text string
		status              int
	}{
		{"missing program", "nosuch", "executable file not found in $PATH", 127},
		{"missing path", "/bin/nosuch", "no such file or directory", 127},
		{"folder for a program", "/etc", "permission denied", 126},
		{"file that is no program", "/etc/passwd", "permission denied", 126},
	} {
		t.Run(tc.name, func(t *testing.T) { c.run(t, []string{"--rm"}, tc.program).says(t, tc.status, tc.text) })
	}
	t.Run("out of memory", func(t *testing.T) {
		if c.noLimits {
			t.Skip("an ordinary user has no cgroup on version 1")
		}
		t.Cleanup(func() { c.remove(t, "hog") })
		c.run(t, []string{"--name", "hog", "--memory", "16m", "--memory-swap", "16m"}, "sh", "-c", hog).exits(t, 137)
		if c.name == "docker" || c.s.v2 { // Podman 4.3 doesn't notice on version 1, with whatever runtime
			equal(t, "OOMKilled", c.inspect(t, "hog", "{{.State.OOMKilled}}"), "true")
		}
	})
	t.Run("terminal", func(t *testing.T) { testTerminal(t, c) })
}

// testTerminal: a container on a terminal that is its user's, of the same size.
func testTerminal(t *testing.T, c *cli) {
	master, slave := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
		t.Fatal(err)
	}
	cmd := c.command(c.line([]string{"--rm", "--interactive", "--tty"}, "sh", "-c",
		// The size is set when the container runs already.
		"tty; until [ \"$(stty size 2>/dev/null)\" = '33 77' ]; do sleep 0.1; done; stty size; read line; echo read $line; exit 4")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	lines := make(chan string, 100)
	go func() {
		scanner := bufio.NewScanner(master)
		for scanner.Scan() {
			lines <- strings.TrimSpace(scanner.Text())
		}
		close(lines)
	}()
	var said []string
	status := wait(t, cmd, func() {
		slave.Close()
		for line := range lines {
			said = append(said, line)
			if line == "33 77" {
				fmt.Fprintln(master, "words")
			}
		}
	})
	all := strings.Join(said, "\n")
	if status != 4 || !strings.HasPrefix(all, "/dev/pts/0\n") || !strings.Contains(all, "\n33 77\n") || !strings.HasSuffix(all, "read words") {
		t.Errorf("status %d, want 4, after\n%s", status, all)
	}
}

// openTerminal makes a pseudo terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// testLife: one container's life, command by command.
func testLife(t *testing.T, c *cli) {
	c.up(t, "box", nil)
	state := func(t *testing.T, want string) {
		t.Helper()
		equal(t, "status", c.inspect(t, "box", "{{.State.Status}}"), want)
	}
	state(t, "running")
	t.Run("exec", func(t *testing.T) { testExec(t, c) })
	t.Run("logs", func(t *testing.T) { equal(t, "logs", c.ok(t, "logs", "box"), "up") })
	t.Run("top", func(t *testing.T) {
		if out := c.ok(t, "top", "box"); !strings.Contains(out, "sleep 1000") {
			t.Errorf("top: %s", out)
		}
	})
	t.Run("copy", func(t *testing.T) {
		from := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(from, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.uid != 0 {
			c.ok(t, "exec", "box", "sh", "-c", "printf text > /tmp/file")
		} else {
			c.ok(t, "cp", from, "box:/tmp/file")
		}
		equal(t, "file", c.ok(t, "exec", "box", "cat", "/tmp/file"), "text")
		if diff := c.ok(t, "diff", "box"); !strings.Contains(diff, "A /tmp/file") {
			t.Errorf("diff: %s", diff)
		}
	})
	if !c.noLimits {
		t.Run("stats", func(t *testing.T) {
			out := c.ok(t, "stats", "--no-stream", "--format", "{{.MemUsage}} | {{.CPUPerc}} | {{.PIDs}}", "box")
			if fields := strings.Split(out, "|"); len(fields) != 3 || strings.HasPrefix(out, "0B") || strings.TrimSpace(fields[2]) != "2" {
				t.Errorf("stats: %q", out)
			}
		})
		t.Run("update", func(t *testing.T) { testUpdate(t, c) })
	}
	if !c.noFreeze {
		t.Run("pause", func(t *testing.T) {
			c.ok(t, "pause", "box")
			state(t, "paused")
			c.ok(t, "unpause", "box")
			state(t, "running")
		})
	}
	t.Run("restart", func(t *testing.T) {
		before := c.inspect(t, "box", "{{.State.Pid}}")
		c.ok(t, "restart", "--time", "100", "box")
		state(t, "running")
		if after := c.inspect(t, "box", "{{.State.Pid}}"); after == before {
			t.Errorf("the process is still %s", after)
		}
	})
	t.Run("stop", func(t *testing.T) {
		c.ok(t, "stop", "--time", "100", "box")
		equal(t, "exit code", c.inspect(t, "box", "{{.State.ExitCode}}"), "5")
		state(t, "exited")
	})
	t.Run("start again", func(t *testing.T) {
		c.ok(t, "start", "box")
		state(t, "running")
	})
	t.Run("kill and wait", func(t *testing.T) {
		c.ok(t, "kill", "--signal", "KILL", "box")
		equal(t, "wait", c.ok(t, "wait", "box"), "137")
	})
	t.Run("remove", func(t *testing.T) { c.ok(t, "rm", "box") })
}

// testUpdate changes the limits of a container that runs.
func testUpdate(t *testing.T, c *cli) {
	flags := []string{"update", "--memory", "64m", "--memory-swap", "64m", "--cpus", "0.25"}
	files, want := "memory/memory.limit_in_bytes memory.max cpu/cpu.cfs_quota_us cpu.max", "67108864\n25000"
	if c.s.v2 {
		want += " 100000"
	}
	if strings.Contains(c.ok(t, "update", "--help"), "--pids-limit") { // Podman since 5
		flags, files, want = append(flags, "--pids-limit", "30"), "pids/pids.max pids.max "+files, "30\n"+want
	}
	c.ok(t, append(flags, "box")...)
	equal(t, "limits", c.ok(t, "exec", "box", "sh", "-c", "cd /sys/fs/cgroup; cat "+files+" 2>/dev/null; true"), want)
}

// testExec: more programs in a container that runs.
func testExec(t *testing.T, c *cli) {
	a := c.do(t, "exec", "box", "sh", "-c", "echo out; echo err >&2; exit 3")
	a.exits(t, 3)
	equal(t, "output", a.out+a.err, "out\nerr\n")
	equal(t, "user, folder, environment", c.ok(t, "exec", "--user", "bob", "--workdir", "/tmp", "--env", "A=b", "box",
		"sh", "-c", "id -u; id -Gn | tr ' ' '\n' | grep friends; pwd; echo $A"), "1000\nfriends\n/tmp\nb")
	equal(t, "input", c.feed(t, "line\n", "exec", "--interactive", "box", "cat").exits(t, 0), "line")
	equal(t, "privileged", c.ok(t, "exec", "--privileged", "box", "sh", "-c", "grep -q '^CapEff.*fffff' /proc/self/status && echo all"), "all")
	// Docker gave 126 for all failures of exec until version 24.
	missing := 127
	if a := c.do(t, "exec", "box", "/etc"); c.name == "docker" && c.do(t, "exec", "box", "nosuch").status == 126 {
		missing = a.status
	}
	c.do(t, "exec", "box", "nosuch").says(t, missing, "executable file not found in $PATH")
	c.do(t, "exec", "box", "/etc").says(t, 126, "permission denied")
	c.ok(t, "exec", "--detach", "box", "sh", "-c", "echo done > /tmp/done")
	eventually(t, "the detached program writes", func() bool { return c.do(t, "exec", "box", "cat", "/tmp/done").out == "done\n" })
}

// testNamespaces: what containers share with the host and among one another.
func testNamespaces(t *testing.T, c *cli) {
	c.up(t, "first", []string{"--ipc", "shareable"})
	for _, kind := range []string{"network", "pid", "ipc"} {
		t.Run("another container's "+kind, func(t *testing.T) {
			link := map[string]string{"network": "net"}[kind]
			if link == "" {
				link = kind
			}
			want := c.ok(t, "exec", "first", "readlink", "/proc/self/ns/"+link)
			equal(t, "namespace", c.run(t, []string{"--rm", "--" + kind, "container:first"}, "readlink", "/proc/self/ns/"+link).exits(t, 0), want)
		})
	}
	t.Run("the host's", func(t *testing.T) {
		names := []string{"net", "pid", "uts"}
		flags := []string{"--rm", "--network", "host", "--pid", "host", "--uts", "host"}
		if exists("/dev/mqueue") || c.uid == 0 { // an ordinary user's Podman wants to mount the host's
			names, flags = append(names, "ipc"), append(flags, "--ipc", "host")
		}
		var want []string
		for _, name := range names {
			link, err := os.Readlink("/proc/self/ns/" + name)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, link)
		}
		got := c.run(t, flags, "sh", "-c", "cd /proc/self/ns; for name in "+strings.Join(names, " ")+"; do readlink $name; done").exits(t, 0)
		equal(t, "namespaces", got, strings.Join(want, "\n"))
	})
	t.Run("privileged", func(t *testing.T) {
		got := pairs(c.run(t, []string{"--rm", "--privileged"}, "sh", "-c", `
			echo "seccomp: $(grep ^Seccomp: /proc/self/status | cut -f 2)"
			echo "bounding: $(grep ^CapBnd /proc/self/status | cut -f 2)"
			echo "sys: $(grep ' /sys ' /proc/mounts | grep -c '[ ,]rw[ ,]')"
			echo "mounts: $(mount -t tmpfs x /tmp && echo may)"
			echo "devices: $([ -e /dev/kmsg ] && echo all)"`).exits(t, 0))
		for key, want := range map[string]string{"seccomp": "0", "sys": "1", "mounts": "may", "devices": "all"} {
			equal(t, key, got[key], want)
		}
		if !strings.HasSuffix(got["bounding"], "ffffff") {
			t.Errorf("bounding set: %s", got["bounding"])
		}
	})
}

// testNetwork: containers in networks of the engine's.
func testNetwork(t *testing.T, c *cli) {
	web := []string{"sh", "-c", "mkdir /tmp/web && echo page > /tmp/web/index.html && exec httpd -f -h /tmp/web -p 80"}
	t.Run("none", func(t *testing.T) {
		equal(t, "devices", c.run(t, []string{"--rm", "--network", "none"}, "ls", "/sys/class/net").exits(t, 0), "lo")
	})
	t.Run("published port", func(t *testing.T) {
		c.up(t, "web", []string{"--publish", "127.0.0.1:8123:80"}, web...)
		eventually(t, "the page is served", func() bool {
			return (&client{}).do(t, c.s.busybox, "wget", "-q", "-O", "-", "http://127.0.0.1:8123/").out == "page\n"
		})
		c.remove(t, "web")
	})
	t.Run("names", func(t *testing.T) {
		if c.uid != 0 && !c.s.systemd {
			t.Skip("an ordinary user's network with names needs a user's systemd or D-Bus")
		}
		c.ok(t, "network", "create", "town")
		c.up(t, "web", []string{"--network", "town"}, web...)
		t.Cleanup(func() { c.ok(t, "network", "rm", "town") })
		// The server's own name is asked for until it answers: httpd may not have begun to listen.
		got := c.run(t, []string{"--rm", "--network", "town"}, "sh", "-c", "until wget -q -O - http://web/; do sleep 0.2; done")
		equal(t, "page", got.exits(t, 0), "page")
		c.remove(t, "web")
	})
}

// testBuild: an image is built, whose steps run in containers.
func testBuild(t *testing.T, c *cli, env []string, flags ...string) {
	dir := filepath.Join(c.s.dir, "build"+fmt.Sprint(c.uid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "FROM " + image + "\nRUN echo built > /made && id -u >> /made\nUSER bob\nRUN id -u > /tmp/made\nCMD cat /made /tmp/made\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	builder := c.client
	builder.env = append(builder.env, env...)
	builder.ok(t, append(append([]string{"build", "--no-cache", "--tag", "localhost/built"}, flags...), dir)...)
	equal(t, "what it holds", c.ok(t, append(append([]string{"run", "--rm"}, c.flags...), "localhost/built")...), "built\n0\n1000")
	c.ok(t, "rmi", "localhost/built")
}
