package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ctr is containerd's own client.
func ctr(s *stage) *client {
	return &client{s: s, argv: []string{"ctr", "--namespace", "engines"}}
}

// withContainerd starts containerd and imports the image.
func withContainerd(t *testing.T) (*client, *daemon) {
	t.Helper()
	s := onStage(t)
	watchLeaks(t, s)
	d := serve(t, s, "containerd")
	c := ctr(s)
	c.ok(t, "image", "import", s.layout(t, image))
	return c, d
}

// runtimeFlags are those that choose the runtime and the container's cgroup.
func (s *stage) runtimeFlags(id string) []string {
	flags := []string{"--runtime", "io.containerd.runc.v2", "--runc-binary", installed}
	if s.systemd {
		return append(flags, "--runc-systemd-cgroup", "--cgroup", s.parent+":ctr:"+id)
	}
	return append(flags, "--cgroup", s.parent+"/"+id)
}

// start makes a container of containerd's: flags, then the command.
func (c *client) start(t *testing.T, id string, flags []string, args ...string) answer {
	t.Helper()
	line := append(append([]string{"run"}, c.s.runtimeFlags(id)...), flags...)
	return c.do(t, append(append(line, image, id), args...)...)
}

// TestContainerd: containers through containerd's shim, by its own client.
func TestContainerd(t *testing.T) {
	c, d := withContainerd(t)

	t.Run("run", func(t *testing.T) {
		a := c.start(t, "run", []string{"--rm"}, "sh", "-c", "echo out; echo err >&2; exit 7")
		a.exits(t, 7)
		equal(t, "output", a.out+a.err, "out\nerr\n")
	})
	t.Run("missing program", func(t *testing.T) {
		c.start(t, "missing", []string{"--rm"}, "nosuch").says(t, 1, "executable file not found in $PATH")
	})
	t.Run("options", func(t *testing.T) { testContainerdOptions(t, c) })
	t.Run("user namespace", func(t *testing.T) {
		a := c.start(t, "userns", []string{"--rm", "--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536"}, "cat", "/proc/self/uid_map")
		equal(t, "map", strings.Join(strings.Fields(a.exits(t, 0)), " "), "0 200000 65536")
	})
	t.Run("task", func(t *testing.T) { testTask(t, c) })
	t.Run("task survives containerd", func(t *testing.T) {
		c.start(t, "survivor", []string{"--detach"}, "pause").exits(t, 0)
		d.stop(unix.SIGKILL)
		d.start()
		equal(t, "exec", c.ok(t, "task", "exec", "--exec-id", "later", "survivor", "echo", "here"), "here")
		c.ok(t, "task", "rm", "--force", "survivor")
		c.ok(t, "container", "rm", "survivor")
	})
	t.Run("shim is killed", func(t *testing.T) {
		c.start(t, "orphan", []string{"--detach"}, "pause").exits(t, 0)
		shim := shimOf(t, "orphan")
		if err := unix.Kill(shim, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "containerd cleans up", func() bool {
			return !exists("/run/containerd/runc/engines/orphan") && !exists("/run/containerd/io.containerd.runtime.v2.task/engines/orphan")
		})
		c.ok(t, "container", "rm", "orphan")
	})
}

// testContainerdOptions: what flags ask for holds in the container.
func testContainerdOptions(t *testing.T, c *client) {
	shared := filepath.Join(c.s.dir, "shared")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	a := c.start(t, "options", []string{
		"--rm", "--read-only", "--cap-drop", "CAP_CHOWN", "--cap-add", "CAP_NET_ADMIN", "--env", "A=1,2", "--cwd", "/tmp", "--seccomp",
		"--memory-limit", "33554432", "--cpus", "0.5", "--device", "/dev/fuse",
		"--mount", "type=bind,src=" + shared + ",dst=/data,options=rbind:ro",
	}, "sh", "-c", `
		echo "environment: $A"
		echo "folder: $PWD"
		echo "capabilities: $(grep ^CapEff /proc/self/status | cut -f 2)"
		echo "seccomp: $(grep ^Seccomp: /proc/self/status | cut -f 2)"
		echo "no new privileges: $(grep ^NoNewPrivs /proc/self/status | cut -f 2)"
		echo "root: $(touch /x 2>&1)"
		echo "mount: $(touch /data/x 2>&1)"
		echo "device: $(stat -c %t,%T /dev/fuse)"
		echo "cgroup: $(grep -c `+filepath.Base(c.s.parent)+` /proc/self/cgroup)"
	`)
	got := pairs(a.exits(t, 0))
	for key, want := range map[string]string{
		"environment": "1,2", "folder": "/tmp", "capabilities": "00000000a80435fa", "seccomp": "2", "no new privileges": "1",
		"root": "touch: /x: Read-only file system", "mount": "touch: /data/x: Read-only file system", "device": "a,e5",
	} {
		equal(t, key, got[key], want)
	}
	if got["cgroup"] == "0" {
		t.Error("the container is not in the cgroup that it was to be in")
	}
}

// pairs parses lines "KEY: VALUE".
func pairs(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			found[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return found
}

// testTask: one container's life, command by command.
func testTask(t *testing.T, c *client) {
	task := func(args ...string) string {
		t.Helper()
		return c.ok(t, append([]string{"task"}, args...)...)
	}
	status := func(want string) {
		t.Helper()
		for line := range strings.Lines(task("ls")) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "box" {
				equal(t, "status", fields[2], want)
				return
			}
		}
		t.Error("the task is not listed")
	}
	c.start(t, "box", []string{"--detach", "--memory-limit", "33554432"}, "pause").exits(t, 0)
	status("RUNNING")
	a := c.do(t, "task", "exec", "--exec-id", "e1", "--cwd", "/tmp", "--user", "1000:1000", "box", "sh", "-c", "pwd; id -u; exit 3")
	equal(t, "exec", a.exits(t, 3), "/tmp\n1000")
	c.do(t, "task", "exec", "--exec-id", "e2", "box", "nosuch").says(t, 1, "executable file not found in $PATH")
	pid := strings.Fields(strings.Split(task("ps", "box"), "\n")[1])[0]
	equal(t, "its first process", strings.Fields(pidLine(t, pid))[0], "/bin/sh")
	metrics := task("metrics", "box")
	if !strings.Contains(metrics, "memory.usage") {
		t.Errorf("metrics: %s", metrics)
	}
	task("pause", "box")
	status("PAUSED")
	task("resume", "box")
	status("RUNNING")
	task("kill", "--signal", "SIGTERM", "box")
	eventually(t, "the task ends", func() bool { return strings.Contains(task("ls"), "STOPPED") })
	task("rm", "box")
	c.ok(t, "container", "rm", "box")
}

// pidLine returns a process's command line, its arguments separated by spaces.
func pidLine(t *testing.T, pid string) string {
	t.Helper()
	line, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(line), "\x00", " ")
}

// shimOf returns the process of the shim that keeps a container.
func shimOf(t *testing.T, id string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		line, _ := os.ReadFile(path)
		args := strings.Split(string(line), "\x00")
		if strings.HasSuffix(args[0], "containerd-shim-runc-v2") && strings.Contains(string(line), "\x00-id\x00"+id+"\x00") {
			var pid int
			fmt.Sscanf(path, "/proc/%d/cmdline", &pid)
			// Others may have engines on this machine, too: ours are orphans that this process has adopted.
			if status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) {
				return pid
			}
		}
	}
	t.Fatalf("no shim of %s", id)
	return 0
}
