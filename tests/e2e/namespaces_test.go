package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// namespaceFiles maps the config's names to those in /proc/PID/ns.
func namespaceFiles() map[specs.LinuxNamespaceType]string {
	return map[specs.LinuxNamespaceType]string{"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup"}
}

// TestNamespaces: which are new and which are the runtime's own.
func TestNamespaces(t *testing.T) {
	for kind, file := range namespaceFiles() {
		host := link(t, "/proc/self/ns/"+file)
		t.Run(string(kind)+" new", func(t *testing.T) {
			b := harness.New(t, harness.WithNamespace(kind, ""))
			if got := strings.TrimSpace(b.Sh("readlink /proc/self/ns/" + file)); got == host || got == "" {
				t.Errorf("got %q, the host's is %q", got, host)
			}
		})
		if kind == "mount" {
			continue // a container without one would pivot the host's root
		}
		t.Run(string(kind)+" of the host", func(t *testing.T) {
			b := harness.New(t, harness.WithoutNamespace(kind))
			if kind == "uts" {
				b.Spec.Hostname = ""
			}
			if kind == "ipc" { // the mqueue belongs to it
				b.Spec.Mounts = nil
				harness.WithMount("/proc", "proc", "proc")(b.Spec)
			}
			if kind == "network" { // sysfs belongs to it
				b.Spec.Linux.MaskedPaths = nil
			}
			if got := strings.TrimSpace(b.Sh("readlink /proc/self/ns/" + file)); got != host {
				t.Errorf("got %q, the host's is %q", got, host)
			}
		})
	}
}

// TestJoinNamespaces: one container joins the namespaces of another, as in a pod.
func TestJoinNamespaces(t *testing.T) {
	pod := harness.New(t)
	pid := pod.Up()
	for _, kind := range []specs.LinuxNamespaceType{"network", "ipc", "uts", "pid"} {
		t.Run(string(kind), func(t *testing.T) {
			file := namespaceFiles()[kind]
			path := fmt.Sprintf("/proc/%d/ns/%s", pid, file)
			b := harness.New(t, harness.WithNamespace(kind, path))
			if kind == "uts" {
				b.Spec.Hostname = "" // it stays the pod's
			}
			if got := strings.TrimSpace(b.Sh("readlink /proc/self/ns/" + file)); got != link(t, path) {
				t.Errorf("got %q, want %q", got, link(t, path))
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		b := harness.New(t)
		b.Spec.Hostname = ""
		for _, kind := range []specs.LinuxNamespaceType{"network", "ipc", "uts", "pid"} {
			harness.WithNamespace(kind, fmt.Sprintf("/proc/%d/ns/%s", pid, namespaceFiles()[kind]))(b.Spec)
		}
		if got := b.Sh("hostname; ps | grep -c '[s]h -c trap'"); got != "box\n1\n" {
			t.Errorf("got %q", got)
		}
	})
	pod.Status("running")
}

// TestJoinNamespaceFails: a path that leads to a namespace of another type, or to none.
func TestJoinNamespaceFails(t *testing.T) {
	for name, path := range map[string]string{"other type": "/proc/self/ns/uts", "missing": "/no/such/namespace", "no namespace": "/etc/passwd"} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, harness.WithNamespace("network", path))
			r := b.Fails("", "run", "--bundle", b.Bundle, b.ID)
			if harness.Name() == "orlop" && !strings.Contains(r.Stderr, "linux.namespaces[") {
				t.Errorf("the error doesn't name the field: %s", r.Stderr)
			}
			b.CheckClean()
		})
	}
}

// TestPidOne: in a PID namespace of its own the process has PID 1 and sees only itself.
func TestPidOne(t *testing.T) {
	b := harness.New(t)
	if got := b.Sh("cd /proc; echo $$ [0-9]*"); got != "1 1\n" {
		t.Errorf("got %q", got)
	}
}

// TestLoopback: a new network namespace has its loopback up.
func TestLoopback(t *testing.T) {
	b := harness.New(t)
	if got := b.Sh("ip -o link | grep -c 'lo: <LOOPBACK,UP'; ls /sys/class/net | xargs"); !strings.HasPrefix(got, "1\n") {
		t.Errorf("got %q", got)
	}
}

// TestHostUntouched: hostname and mounts of the host are unchanged.
func TestHostUntouched(t *testing.T) {
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	mounts := read(t, "/proc/self/mountinfo")
	b := harness.New(t)
	b.OK("run", "--bundle", b.Bundle, b.ID)
	if after, _ := os.Hostname(); after != before {
		t.Errorf("hostname is %q, was %q", after, before)
	}
	if after := read(t, "/proc/self/mountinfo"); after != mounts {
		t.Errorf("mounts are\n%s\nwere\n%s", after, mounts)
	}
}
