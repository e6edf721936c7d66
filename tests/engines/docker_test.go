package engines

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// withDocker starts dockerd with the image.
func withDocker(t *testing.T, flags ...string) (*cli, *daemon) {
	t.Helper()
	s := onStage(t)
	watchLeaks(t, s)
	driver := "cgroupfs"
	if s.systemd {
		driver = "systemd"
	}
	serve(t, s, "containerd") // as on a machine with Debian's packages; dockerd by itself gives its own one 15 s to start
	d := serve(t, s, append([]string{"dockerd", "--containerd", "/run/containerd/containerd.sock", "--exec-opt", "native.cgroupdriver=" + driver, "--cgroup-parent", s.parent}, flags...)...)
	c := &cli{client: client{s: s, argv: []string{"docker"}}, name: "docker"}
	c.ok(t, "import", "--change", "ENV PATH=/bin", s.rootfs(t), image)
	return c, d
}

// TestDocker: Docker's containers with orlop as the default runtime.
func TestDocker(t *testing.T) {
	c, d := withDocker(t, "--live-restore")
	equal(t, "default runtime", c.ok(t, "info", "--format", "{{.DefaultRuntime}}"), "orlop")

	t.Run("run", func(t *testing.T) { testRun(t, c) })
	t.Run("options", func(t *testing.T) { testOptions(t, c) })
	t.Run("life", func(t *testing.T) { testLife(t, c) })
	t.Run("namespaces", func(t *testing.T) { testNamespaces(t, c) })
	t.Run("network", func(t *testing.T) { testNetwork(t, c) })
	t.Run("health", func(t *testing.T) { testHealth(t, c) })
	t.Run("restart policy", func(t *testing.T) {
		t.Cleanup(func() { c.remove(t, "stubborn") })
		c.run(t, []string{"--detach", "--name", "stubborn", "--restart", "on-failure:2"}, "sh", "-c", "exit 9").exits(t, 0)
		eventually(t, "it is restarted", func() bool {
			return c.inspect(t, "stubborn", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}") == "2 exited 9"
		})
	})
	t.Run("attach", func(t *testing.T) { testAttach(t, c) })
	t.Run("build", func(t *testing.T) { testBuild(t, c, []string{"DOCKER_BUILDKIT=0"}) })
	t.Run("build with BuildKit", func(t *testing.T) {
		// BuildKit in dockerd calls the program runc, whatever the default runtime is.
		inPlaceOfRunc(t)
		testBuild(t, c, []string{"DOCKER_BUILDKIT=1"})
	})
	t.Run("container survives the daemon", func(t *testing.T) {
		c.up(t, "survivor", nil)
		d.stop(unix.SIGKILL)
		os.Remove("/run/docker.pid")
		d.start()
		equal(t, "exec", c.ok(t, "exec", "survivor", "echo", "here"), "here")
		c.ok(t, "stop", "--time", "100", "survivor")
		equal(t, "exit code", c.inspect(t, "survivor", "{{.State.ExitCode}}"), "5")
	})
}

// inPlaceOfRunc gives the runtime runc's own name until the test ends.
func inPlaceOfRunc(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(installed, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// testAttach: a client connects to the streams of a container that runs.
func testAttach(t *testing.T, c *cli) {
	c.up(t, "echo", []string{"--interactive"}, "sh", "-c", "while read line && [ $line != end ]; do echo got $line; done; exit 6")
	cmd := c.command("attach", "echo")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	if err := r.SetReadDeadline(time.Now().Add(limit())); err != nil {
		t.Fatal(err)
	}
	status := wait(t, cmd, func() {
		w.Close()
		lines := bufio.NewReader(r)
		for _, word := range []string{"this", "that"} {
			fmt.Fprintln(in, word)
			line, err := lines.ReadString('\n')
			if line != "got "+word+"\n" {
				t.Errorf("answer to %q: %q (%v)", word, line, err)
			}
		}
		fmt.Fprintln(in, "end")
	})
	if status != 6 {
		t.Errorf("attach ends with status %d, want 6", status)
	}
}

// testHealth: Docker's checks of health are execs.
func testHealth(t *testing.T, c *cli) {
	events := c.command("events", "--filter", "container=patient", "--filter", "event=health_status", "--format", "{{.Status}}")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	events.Stdout = w
	if err := harness.StartOther(events); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer func() {
		events.Process.Kill()
		harness.WaitOther(events) //nolint:errcheck // it was killed
	}()
	if err := r.SetReadDeadline(time.Now().Add(limit())); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "health_status: "+want {
				return
			}
		}
		t.Fatalf("no event %q: %v", want, lines.Err())
	}
	c.up(t, "patient", []string{"--health-cmd", "test ! -e /ill", "--health-interval", "1s", "--health-retries", "1"})
	next("healthy")
	equal(t, "health", c.inspect(t, "patient", "{{.State.Health.Status}}"), "healthy")
	c.ok(t, "exec", "patient", "touch", "/ill")
	next("unhealthy")
}
