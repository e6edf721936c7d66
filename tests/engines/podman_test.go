package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// podman returns the engine as root has it.
func podman(s *stage) *cli {
	c := &cli{client: client{s: s, argv: []string{"podman", "--events-backend", "file"}}, name: "podman"}
	if s.systemd {
		c.argv = append(c.argv, "--cgroup-manager", "systemd")
	} else {
		c.argv = append(c.argv, "--cgroup-manager", "cgroupfs")
	}
	c.flags = []string{"--cgroup-parent", s.parent}
	c.dir = s.dir // conmon writes a file to where it is started
	return c
}

// TestPodman: Podman's containers through conmon, as root.
func TestPodman(t *testing.T) {
	s := onStage(t)
	watchLeaks(t, s)
	c := podman(s)
	importImage(t, c)
	equal(t, "runtime", c.ok(t, "info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}"), "orlop "+installed)

	t.Run("run", func(t *testing.T) { testRun(t, c) })
	t.Run("options", func(t *testing.T) { testOptions(t, c) })
	t.Run("life", func(t *testing.T) { testLife(t, c) })
	t.Run("namespaces", func(t *testing.T) { testNamespaces(t, c) })
	t.Run("network", func(t *testing.T) { testNetwork(t, c) })
	t.Run("health", func(t *testing.T) { testPodmanHealth(t, c) })
	t.Run("pod", func(t *testing.T) { testPod(t, c) })
	t.Run("user namespace", func(t *testing.T) { testPodmanUserns(t, c) })
	t.Run("build", func(t *testing.T) { testBuild(t, c, nil) })
	t.Run("buildah", func(t *testing.T) { testBuildah(t, c) })
}

// importImage imports the image into Podman's store, and empties that when the test ends.
func importImage(t *testing.T, c *cli) {
	t.Helper()
	t.Cleanup(func() {
		c.ok(t, "rm", "--all", "--force", "--time", "0")
		c.ok(t, "rmi", "--all", "--force")
		c.ok(t, "system", "migrate") // ends the process that keeps an ordinary user's namespaces
	})
	c.ok(t, "import", "--change", "ENV=PATH=/bin", c.s.rootfs(t), image)
}

// testPodmanHealth: a check of health is an exec, which systemd's timer or its user starts.
func testPodmanHealth(t *testing.T, c *cli) {
	c.up(t, "patient", []string{"--health-cmd", "test ! -e /ill", "--health-retries", "1", "--health-interval", "disable"})
	c.ok(t, "healthcheck", "run", "patient")
	equal(t, "health", c.inspect(t, "patient", "{{.State.Health.Status}}"), "healthy")
	c.ok(t, "exec", "patient", "touch", "/ill")
	c.do(t, "healthcheck", "run", "patient").exits(t, 1)
	equal(t, "health", c.inspect(t, "patient", "{{.State.Health.Status}}"), "unhealthy")
}

// testPod: containers that share namespaces.
func testPod(t *testing.T, c *cli) {
	flags := []string{"pod", "create", "--name", "family", "--hostname", "home"}
	if c.uid == 0 {
		flags = append(flags, "--cgroup-parent", c.s.parent)
	}
	c.ok(t, flags...)
	id := c.ok(t, "pod", "inspect", "--format", "{{.ID}}", "family")
	t.Cleanup(func() {
		c.ok(t, "pod", "rm", "--force", "--time", "0", "family")
		for _, root := range c.s.cgroupRoots() { // Podman leaves the pod's in the hierarchies that it doesn't know
			unix.Rmdir(filepath.Join(root, c.s.parent, id))
		}
	})
	in := &cli{client: c.client, name: c.name, flags: []string{"--pod", "family"}}
	in.up(t, "parent", nil, "sh", "-c", "mkdir /tmp/web; echo page > /tmp/web/index.html; exec httpd -f -h /tmp/web -p 8080")
	got := in.run(t, []string{"--rm"}, "sh", "-c", "hostname; until wget -q -O - http://127.0.0.1:8080/; do sleep 0.2; done")
	equal(t, "host name, and the other's page", got.exits(t, 0), "home\npage")
	equal(t, "pod", c.ok(t, "pod", "inspect", "--format", "{{.State}} {{.NumContainers}}", "family"), "Running 2")
	if !c.noFreeze {
		c.ok(t, "pod", "pause", "family")
		equal(t, "status", c.inspect(t, "parent", "{{.State.Status}}"), "paused")
		c.ok(t, "pod", "unpause", "family")
	}
	c.ok(t, "pod", "stop", "--time", "0", "family")
	equal(t, "status", c.inspect(t, "parent", "{{.State.Status}}"), "exited")
	c.ok(t, "pod", "start", "family")
	equal(t, "status", c.inspect(t, "parent", "{{.State.Status}}"), "running")
}

// testPodmanUserns: root's containers in user namespaces of their own.
func testPodmanUserns(t *testing.T, c *cli) {
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		addLine(t, file, "containers:1000000:1000000\n")
	}
	script := "echo $(cat /proc/self/uid_map); touch /tmp/x; stat -c %u /tmp/x"
	equal(t, "a map of one's own", c.run(t, []string{"--rm", "--uidmap", "0:300000:65536", "--gidmap", "0:300000:65536"}, "sh", "-c", script).exits(t, 0),
		"0 300000 65536\n0")
	got := c.run(t, []string{"--rm", "--userns", "auto:size=4096"}, "sh", "-c", script).exits(t, 0)
	if !strings.HasPrefix(got, "0 1") || !strings.HasSuffix(got, " 4096\n0") {
		t.Errorf("automatic map: %q", got)
	}
}

// addLine adds a line to a file, which need not be there.
func addLine(t *testing.T, file, line string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(data, line...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// testBuildah: Buildah's containers, in which it runs programs by itself.
func testBuildah(t *testing.T, c *cli) {
	b := c.client
	b.argv = []string{"buildah"}
	if a := b.do(t, "--version"); a.status != 0 {
		t.Skip("no buildah: " + a.err)
	}
	name := b.ok(t, "from", image)
	t.Cleanup(func() { b.ok(t, "rm", name) })
	a := b.do(t, "run", "--isolation", "oci", name, "--", "sh", "-c", "id -u; hostname > /made; exit 3")
	equal(t, "run", a.exits(t, 3), "0")
	b.ok(t, "run", "--isolation", "oci", "--user", "bob", "--volume", c.s.dir+":/mnt:ro", name, "--", "sh", "-c", "id -u; test -s /made && test -e /mnt/rootfs.tar")
}

// userOf returns Podman as an ordinary user has it: one with a systemd, if there is such a user here, else one made for this test.
func userOf(t *testing.T, s *stage) *cli {
	t.Helper()
	const own = 4711
	c := podman(s)
	c.uid, c.flags = own, nil
	home, runtime := "/home/orlop-engines", fmt.Sprintf("/run/user/%d", own)
	if lingering, _ := filepath.Glob("/run/user/*/bus"); s.systemd && len(lingering) > 0 {
		fmt.Sscanf(lingering[0], "/run/user/%d/bus", &c.uid)
		runtime = filepath.Dir(lingering[0])
		home = strings.Split(output(t, "getent", "passwd", fmt.Sprint(c.uid)), ":")[5]
		c.env = append(c.env, "DBUS_SESSION_BUS_ADDRESS=unix:path="+lingering[0])
	} else {
		c.argv = append(c.argv[:3:3], "--cgroup-manager", "cgroupfs")
		c.noLimits, c.noFreeze = true, true
		for file, line := range map[string]string{
			"/etc/passwd": fmt.Sprintf("orlop-engines:x:%d:%d::%s:/bin/sh\n", own, own, home),
			"/etc/group":  fmt.Sprintf("orlop-engines:x:%d:\n", own),
			"/etc/subuid": "orlop-engines:2000000:65536\n", "/etc/subgid": "orlop-engines:2000000:65536\n",
		} {
			addLine(t, file, line)
		}
		for _, dir := range []string{home, runtime} {
			// The user walks through what is above, which a machine without logins may not have.
			if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, own, own); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.dir = home
	c.env = append(c.env, "HOME="+home, "XDG_RUNTIME_DIR="+runtime, "USER=")
	return c
}

// TestPodmanRootless: the same as an ordinary user.
func TestPodmanRootless(t *testing.T) {
	s := onStage(t)
	watchLeaks(t, s)
	c := userOf(t, s)
	importImage(t, c)
	equal(t, "runtime", c.ok(t, "info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.Security.Rootless}}"), "orlop true")

	t.Run("run", func(t *testing.T) { testRun(t, c) })
	t.Run("options", func(t *testing.T) { testOptions(t, c) })
	t.Run("life", func(t *testing.T) { testLife(t, c) })
	t.Run("namespaces", func(t *testing.T) { testNamespaces(t, c) })
	t.Run("network", func(t *testing.T) { testNetwork(t, c) })
	t.Run("pod", func(t *testing.T) { testPod(t, c) })
	t.Run("keep-id", func(t *testing.T) {
		equal(t, "user", c.run(t, []string{"--rm", "--userns", "keep-id"}, "id", "-u").exits(t, 0), fmt.Sprint(c.uid))
	})
	t.Run("build", func(t *testing.T) { testBuild(t, c, nil) })
}
