package needs

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/tests/golden"
)

// bundle makes a bundle of a configuration, even with faults.
func bundle(t *testing.T, s *specs.Spec) *specconv.Bundle {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, specconv.ConfigName), text, 0o644); err != nil {
		t.Fatal(err)
	}
	b, _, err := specconv.Examine(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func describe(list []Requirement) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintf(&b, "%s: %s", r.Path, r.Kind)
		for _, s := range []string{r.Name, r.Of, strings.Join(r.Paths, " ")} {
			if s != "" {
				b.WriteString(" | " + s)
			}
		}
		for _, m := range r.IDs {
			fmt.Fprintf(&b, " | %d+%d", m.HostID, m.Size)
		}
		if r.Minor {
			b.WriteString(" | minor")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// everything is a configuration with all kinds of needs.
func everything() *specs.Spec {
	s := specconv.Example()
	ids := []specs.LinuxIDMapping{{HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}}
	p, l := s.Process, s.Linux
	p.Args, p.Cwd = []string{"server"}, "/srv"
	p.ApparmorProfile, p.SelinuxLabel = "web", "a:b:c:s0"
	p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1", Final: "2"}
	s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/a"}}, StartContainer: []specs.Hook{{Path: "/bin/b"}}, Poststop: []specs.Hook{{Path: "/bin/c"}}}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/a", Source: "/srv/a", Options: []string{"bind", "rnosymfollow", "ridmap"}, UIDMappings: ids, GIDMappings: ids[:1]},
		specs.Mount{Destination: "/b", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/l1:/l2", "upperdir=/u", "workdir=/w"}},
		specs.Mount{Destination: "/c", Type: "ext4", Source: "/dev/vdb", Options: []string{"ro"}},
		specs.Mount{Destination: "/c", Options: []string{"remount", "nosuid"}})
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.TimeNamespace})
	l.Namespaces[1].Path = "/run/netns/web"
	l.UIDMappings, l.GIDMappings = ids, ids
	l.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -5}}
	l.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}, {Path: "/dev/pipe", Type: "p"}}
	l.MountLabel = "a:b:c:s1"
	l.NetDevices = map[string]specs.LinuxNetDevice{"eth1": {}, "eth0": {Name: "lan"}}
	l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}, ListenerPath: "/run/agent.sock",
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mount"}, Action: specs.ActNotify}}}
	l.IntelRdt = &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=50", EnableMonitoring: true}
	l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-1"}
	return s
}

func TestOf(t *testing.T) {
	bare := &specs.Spec{Version: "1.0.0", Root: &specs.Root{Path: "rootfs"}, Process: &specs.Process{Args: []string{"./x"}, Cwd: "/", User: specs.User{UID: 5}}}
	for _, tc := range []struct {
		name   string
		spec   *specs.Spec
		caller Caller
	}{
		{"example", specconv.Example(), Caller{}},
		{"everything", everything(), Caller{UID: 1000, GID: 1000, Unprivileged: true}},
		{"no-namespaces", bare, Caller{Nested: true}},
	} {
		t.Run(tc.name, func(t *testing.T) { golden.Check(t, tc.name+".golden", describe(Of(bundle(t, tc.spec), tc.caller))) })
	}
}

// TestEveryKind: each kind is needed by some configuration.
func TestEveryKind(t *testing.T) {
	asked := map[Kind]bool{Writable: true} // of the runtime's own directory
	for _, s := range []*specs.Spec{everything(), specconv.Example()} {
		for _, r := range Of(bundle(t, s), Caller{UID: 1000}) {
			asked[r.Kind] = true
		}
	}
	list := kinds(t)
	if !slices.Equal(list, Kinds()) {
		t.Errorf("Kinds gives %q, the constants are %q", Kinds(), list)
	}
	for _, kind := range list {
		if !asked[kind] {
			t.Errorf("nothing asks for a %s", kind)
		}
	}
}

// kinds reads the constants of type Kind from the source.
func kinds(t *testing.T) (list []Kind) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "need.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == "Kind" {
				list = append(list, Kind(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)))
			}
		}
		return true
	})
	if len(list) < 20 {
		t.Fatalf("kinds: %q", list)
	}
	return list
}

func TestFeatures(t *testing.T) {
	list := Features()
	if !slices.IsSortedFunc(list, func(a, b KernelFeature) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted")
	}
	for _, f := range list {
		if FeatureNamed(f.Name) != f || f.Since == "" || f.For == "" {
			t.Errorf("%+v", f)
		}
	}
	if FeatureNamed("none") != (KernelFeature{}) {
		t.Error("a feature that is not there")
	}
}

// FuzzOf: a configuration with faults has needs, too.
func FuzzOf(f *testing.F) {
	text, err := json.Marshal(everything())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"mounts":[{"options":["idmap"]},{}],"linux":{"namespaces":[{},{"type":"user"}]},"process":{"args":[""]}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, config []byte) {
		if err := os.WriteFile(filepath.Join(dir, specconv.ConfigName), config, 0o644); err != nil {
			t.Fatal(err)
		}
		if b, _, err := specconv.Examine(dir); err == nil {
			Of(b, Caller{Nested: len(config)%2 == 0})
		}
	})
}
