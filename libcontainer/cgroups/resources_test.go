package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{1: 1, 2: 1, 3: 2, 102: 17, 512: 59, 1024: 100, 2048: 174, 262143: 10000, 262144: 10000, 1 << 40: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
}

func TestUnapplied(t *testing.T) {
	var docker specs.LinuxResources
	dockerResources(t, &docker)
	for _, r := range []*specs.LinuxResources{nil, {}, &docker, {Memory: &specs.LinuxMemory{Kernel: ptr(int64(0)), UseHierarchy: ptr(true)}}} {
		if got := Unapplied(r); len(got) != 0 {
			t.Errorf("%+v: %q", r, got)
		}
	}
	got := strings.Join(Unapplied(&specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: ptr(int64(1)), UseHierarchy: ptr(false)}}), "\n")
	for _, field := range []string{"memory.kernel", "memory.useHierarchy"} {
		if !strings.Contains(got, "linux.resources."+field+": ") {
			t.Errorf("%s is not named in\n%s", field, got)
		}
	}
}

// fakeTree makes directories and files like those of a cgroup filesystem: "directory/file":
// content.
func fakeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestInheritCpuset(t *testing.T) {
	root := fakeTree(t, map[string]string{
		"cpuset.cpus": "0-3\n", "cpuset.mems": "0\n",
		"a/cpuset.cpus": "\n", "a/cpuset.mems": "", "a/b/cpuset.cpus": "", "a/b/cpuset.mems": "",
		"set/cpuset.cpus": "2", "set/cpuset.mems": "0", "set/b/cpuset.cpus": "", "set/b/cpuset.mems": "",
	})
	for dir, want := range map[string]string{"a/b": "0-3", "set/b": "2"} {
		if err := inheritCpuset(root+"/"+dir, root, true); err != nil {
			t.Fatal(err)
		}
		if got := read(t, root+"/"+dir+"/cpuset.cpus"); got != want {
			t.Errorf("%s: cpus %q, want %q", dir, got, want)
		}
	}
	if got := read(t, root+"/a/cpuset.mems"); got != "0" {
		t.Errorf("the parent was not initialised: mems %q", got)
	}
	empty := fakeTree(t, map[string]string{"cpuset.cpus": "", "a/cpuset.cpus": ""})
	if err := inheritCpuset(empty+"/a", empty, true); err == nil {
		t.Error("no error though no parent has processors")
	}
}

func TestDelegate(t *testing.T) {
	tree := func() string {
		return fakeTree(t, map[string]string{
			"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "cpu\n",
			"p/cgroup.controllers": "cpu memory\n", "p/cgroup.subtree_control": "                    ",
			"p/c/cgroup.controllers": "",
		})
	}
	manager := func(root string) *Manager {
		return &Manager{unifiedLeads: true, unified: directory{dir: root + "/p/c", mount: root}}
	}
	root := tree()
	if err := manager(root).enableControllers(nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root+"/cgroup.subtree_control"); got != "+memory +pids" {
		t.Errorf("root: %q written", got)
	}
	if got := read(t, root+"/p/cgroup.subtree_control"); got != "+cpu +memory" {
		t.Errorf("p: %q written", got)
	}
	err := manager(tree()).enableControllers([]setting{{controller: "memory", file: "memory.max", value: "1", field: "linux.resources.memory.limit"}})
	if refusedField(err) != "linux.resources.memory.limit" || !errors.Is(err, errNotDelegated) {
		t.Errorf("a controller that stays away: error %v", err)
	}
	err = manager(tree()).enableControllers([]setting{{controller: "rdma", file: "rdma.max", value: "1", field: "linux.resources.rdma"}})
	if !errors.Is(err, errNoController) {
		t.Errorf("a controller that is not there at all: error %v", err)
	}
	// Intermediate directories that are made have no controllers of their own yet.
	root = fakeTree(t, map[string]string{
		"cgroup.controllers": "cpu memory\n", "cgroup.subtree_control": "cpu memory\n",
		"p/cgroup.controllers": "cpu\n", "p/cgroup.subtree_control": "", "p/a/cgroup.controllers": "", "p/a/cgroup.subtree_control": "", "p/a/c/cgroup.controllers": "",
	})
	deep := &Manager{unifiedLeads: true, unified: directory{dir: root + "/p/a/c", mount: root}, made: []string{root + "/p/a", root + "/p/a/c"}}
	if err := deep.enableControllers(nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root+"/p/cgroup.subtree_control"); got != "+cpu" {
		t.Errorf("above a directory that was made: %q written", got)
	}
	full := fakeTree(t, map[string]string{"p/cgroup.controllers": "cpu", "p/c/cgroup.controllers": "cpu"})
	if err := manager(full).enableControllers(nil); err != nil {
		t.Errorf("all are enabled, but more was read: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	root := fakeTree(t, map[string]string{"cpu/x": ""})
	m := Load(Layout{}, map[string]string{"cpu": root + "/cpu"})
	err := m.write([]setting{{controller: "cpu", file: "cpu.idle", value: "1", field: "linux.resources.cpu.idle"}})
	for _, part := range []string{"linux.resources.cpu.idle", "controller cpu", `"1"`, root + "/cpu/cpu.idle", "no such file"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not name %s", err, part)
		}
	}
	err = m.Create(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1))}})
	if !errors.Is(err, errNoController) || !strings.Contains(err.Error(), "linux.resources.memory.limit: cgroup controller memory: ") {
		t.Errorf("missing controller: error %v", err)
	}
	err = Load(Layout{}, nil).Create(nil)
	if !errors.Is(err, errNoController) || !strings.Contains(err.Error(), "linux.resources.devices") {
		t.Errorf("no hierarchy to guard devices: error %v", err)
	}
	allowAll := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true}}}
	if err := Load(Layout{}, nil).Create(allowAll); err != nil {
		t.Errorf("no hierarchy, no limit: %v", err)
	}
}

// A cgroup may disappear while its last process is killed: systemd removes it. A cgroup that cannot
// be frozen is different.
func TestThawOfNone(t *testing.T) {
	root := fakeTree(t, map[string]string{"here/x": ""})
	for _, key := range []string{"freezer", ""} {
		if err := Load(Layout{}, map[string]string{key: root + "/gone"}).Thaw(); err != nil {
			t.Errorf("%q: %v", key, err)
		}
		if err := Load(Layout{}, map[string]string{key: root + "/here"}).Thaw(); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%q without the file: error %v", key, err)
		}
	}
}
