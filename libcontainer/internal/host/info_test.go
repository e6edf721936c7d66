package host

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/specconv"
)

// TestGather: what is told of this host is what others say of it, too.
func TestGather(t *testing.T) {
	i, err := Gather()
	if err != nil {
		t.Fatal(err)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || i.Kernel.Release != strings.TrimSpace(string(release)) {
		t.Errorf("release %q, %v", i.Kernel.Release, err)
	}
	if i.Caller.UID != os.Geteuid() || len(i.Features) != len(needs.Features()) || len(i.Namespaces) != len(specconv.NamespaceKinds()) {
		t.Errorf("%+v", i)
	}
	if !slices.Contains(i.Mounts.FileSystems, "proc") || i.Mounts.IDMapped["proc"] == Yes {
		t.Errorf("mounts %+v", i.Mounts)
	}
	if os.Geteuid() == 0 && i.Mounts.IDMapped["proc"] != No && !i.Caller.Nested {
		t.Errorf("id-mapped mounts of procfs: %s", i.Mounts.IDMapped["proc"])
	}
	text, err := json.Marshal(i)
	if err != nil || strings.Contains(string(text), ":null") && !strings.Contains(string(text), `"modules":null`) && !strings.Contains(string(text), `"delegated":null`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRootlessReadiness(t *testing.T) {
	a := fakeHost(t, nil)
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	whole := func() *Info {
		return &Info{
			Features:       []Availability{{Name: "openat2", Needed: true, Available: Yes}, {Name: "pidfd", Needed: true, Available: Unknown}},
			UserNamespaces: UserNamespaces{Own: Yes, UIDs: []string{"1-2"}, GIDs: []string{"1-2"}, NewUIDMap: "/x", NewGIDMap: "/y"},
			Cgroups:        Cgroups{Delegated: []string{}},
		}
	}
	if r := a.rootless(whole()); !reflect.DeepEqual(r, Rootless{Ready: Yes, Lacks: []string{}, Without: []string{}}) {
		t.Errorf("%+v", r)
	}
	for _, tc := range []struct {
		name   string
		change func(*Info)
		lacks  int
		text   string
	}{
		{"no openat2", func(i *Info) { i.Features[0].Available = No }, 1, "openat2"},
		{"no user namespaces", func(i *Info) { i.UserNamespaces.Own, i.UserNamespaces.Why = No, "EPERM" }, 1, "EPERM"},
		{"no ranges", func(i *Info) { i.UserNamespaces.GIDs = nil }, 0, "/etc/subgid"},
		{"no newuidmap", func(i *Info) { i.UserNamespaces.NewUIDMap = "" }, 0, "newuidmap"},
		{"no cgroup", func(i *Info) { i.Cgroups.Delegated = nil }, 0, "no cgroup"},
		{"a systemd of its own", func(i *Info) { i.Cgroups.Delegated, i.Cgroups.UserSystemd = nil, true }, 0, "--systemd-cgroup"},
		{"no directory", func(*Info) { t.Setenv("XDG_RUNTIME_DIR", "") }, 0, "XDG_RUNTIME_DIR"},
	} {
		i := whole()
		tc.change(i)
		r := a.rootless(i)
		text := strings.Join(append(r.Lacks, r.Without...), "\n")
		if len(r.Lacks) != tc.lacks || (r.Ready == Yes) != (tc.lacks == 0) || !strings.Contains(text, tc.text) {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}

func TestParsing(t *testing.T) {
	a := fakeHost(t, map[string]string{
		"/proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 0:5 / /with\\040blank rw shared:1 master:2 - tmpfs tmpfs rw\n3 1 0:6 / /second rw - tmpfs t rw\nodd\n",
		"/etc/os-release":      "NAME=x\nPRETTY_NAME=\"Some System 1\"\n",
	})
	if got, want := a.mountPoints(), map[string]string{"ext4": "/", "tmpfs": "/with blank"}; !reflect.DeepEqual(got, want) {
		t.Errorf("mount points %v", got)
	}
	if got := a.system(); got != "Some System 1" {
		t.Errorf("system %q", got)
	}
	if got := fakeHost(t, nil).system(); got != "" {
		t.Errorf("system %q", got)
	}
	if answerOf(nil) != Yes || answerOf(&Lack{}) != No || answerOf(unix.EPERM) != Unknown {
		t.Error("answers")
	}
}
