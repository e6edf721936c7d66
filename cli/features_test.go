package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/orlop/orlop/specconv"
)

func printedFeatures(t *testing.T) *features.Features {
	t.Helper()
	f := new(features.Features)
	d := json.NewDecoder(strings.NewReader(callBare(t, "features").succeeds(t)))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFeatures: engines enable functions by these fields.
func TestFeatures(t *testing.T) {
	f := printedFeatures(t)
	l := f.Linux
	if want := []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}; !slices.Equal(l.Namespaces, want) {
		t.Errorf("namespaces %q, want %q", l.Namespaces, want)
	}
	for _, option := range []string{"ro", "rro", "rbind", "tmpcopyup", "idmap", "ridmap"} {
		if !slices.Contains(f.MountOptions, option) {
			t.Errorf("no mount option %s", option)
		}
	}
	if len(f.Hooks) != 6 || len(l.Capabilities) < 41 || !*l.Cgroup.V1 || !*l.Cgroup.V2 || !*l.Cgroup.Rdma || !*l.MountExtensions.IDMap.Enabled {
		t.Errorf("%+v", f)
	}
	if f.Annotations["io.github.orlop.version"] == "" {
		t.Errorf("annotations %v", f.Annotations)
	}
}

// TestFeaturesAreComplete: every field of the structure is set, with the exceptions listed.
func TestFeaturesAreComplete(t *testing.T) {
	f := printedFeatures(t)
	absent := map[string]bool{}
	nils("", reflect.ValueOf(*f), absent)
	if !*f.Linux.Seccomp.Enabled {
		for _, list := range []string{"actions", "operators", "archs", "knownFlags", "supportedFlags"} {
			delete(absent, "linux.seccomp."+list)
		}
	}
	if len(absent) > 0 {
		t.Errorf("absent: %v", absent)
	}
}

// nils lists the fields that are nil.
func nils(path string, v reflect.Value, found map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			nils(path, v.Elem(), found)
			return
		}
		found[path] = true
	case reflect.Slice, reflect.Map:
		if v.IsNil() {
			found[path] = true
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			nils(strings.TrimPrefix(path+"."+name, "."), v.Field(i), found)
		}
	}
}

// accepted fails the test unless each name of a list is unique and makes a valid configuration.
func accepted(t *testing.T, list []string, change func(s *specs.Spec, name string)) {
	t.Helper()
	for i, name := range list {
		if slices.Contains(list[:i], name) {
			t.Errorf("%s is there twice", name)
		}
		s := specconv.Example()
		change(s, name)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := specconv.Parse(text, "/bundle")
		if err == nil && len(b.Warnings) > 0 {
			err = fmt.Errorf("warnings %q", b.Warnings)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFeaturesAreTrue: "The runtime MUST recognize the elements".
func TestFeaturesAreTrue(t *testing.T) {
	f := printedFeatures(t)
	ids := []specs.LinuxIDMapping{{HostID: 5, Size: 1}}
	accepted(t, []string{f.OCIVersionMin, f.OCIVersionMax}, func(s *specs.Spec, name string) { s.Version = name })
	accepted(t, f.Hooks, func(s *specs.Spec, name string) {
		text := fmt.Sprintf(`{"hooks":{%q:[{"path":"/bin/true"}]}}`, name)
		if err := json.Unmarshal([]byte(text), s); err != nil || reflect.DeepEqual(*s.Hooks, specs.Hooks{}) {
			t.Errorf("hook %s: %v", name, err)
		}
	})
	accepted(t, f.MountOptions, func(s *specs.Spec, name string) {
		m := specs.Mount{Destination: "/x", Type: "tmpfs", Source: "x", Options: []string{name}}
		switch name {
		case "idmap", "ridmap":
			m = specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind", name}, UIDMappings: ids, GIDMappings: ids}
		case "copy-symlink", "src-nofollow", "dest-nofollow":
			m = specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind", name}}
		}
		s.Mounts = append(s.Mounts, m)
	})
	accepted(t, f.Linux.Namespaces, func(s *specs.Spec, name string) {
		kind := specs.LinuxNamespaceType(name)
		if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind }) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
		}
		if kind == specs.UserNamespace {
			s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
		}
	})
	accepted(t, f.Linux.Capabilities, func(s *specs.Spec, name string) { s.Process.Capabilities.Bounding = []string{name} })
}

// TestLinuxFeaturesAreTrue covers features that may be unsupported as a whole.
func TestLinuxFeaturesAreTrue(t *testing.T) {
	l := printedFeatures(t).Linux
	profile := func(s *specs.Spec) *specs.LinuxSeccomp {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
		return s.Linux.Seccomp
	}
	accepted(t, l.Seccomp.Actions, func(s *specs.Spec, name string) { profile(s).DefaultAction = specs.LinuxSeccompAction(name) })
	accepted(t, l.Seccomp.Archs, func(s *specs.Spec, name string) { profile(s).Architectures = []specs.Arch{specs.Arch(name)} })
	accepted(t, l.Seccomp.Operators, func(s *specs.Spec, name string) {
		profile(s).Syscalls = []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Op: specs.LinuxSeccompOperator(name)}}}}
	})
	for _, flags := range [][]string{l.Seccomp.KnownFlags, l.Seccomp.SupportedFlags} {
		accepted(t, flags, func(s *specs.Spec, name string) {
			profile(s).Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(name)}
		})
	}
	if m := l.MemoryPolicy; m != nil {
		accepted(t, m.Modes, func(s *specs.Spec, name string) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(name), Nodes: "0"}
			if name == "MPOL_DEFAULT" || name == "MPOL_LOCAL" {
				s.Linux.MemoryPolicy.Nodes = ""
			}
		})
		accepted(t, m.Flags, func(s *specs.Spec, name string) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MemoryPolicyFlagType(name)}}
		})
	}
}

// TestFeaturesOfSeccompTables: the seccomp features are the tables of the parser.
func TestFeaturesOfSeccompTables(t *testing.T) {
	for _, list := range [][]string{specconv.SeccompActions(), specconv.SeccompOperators(), specconv.SeccompArchs(), specconv.SeccompFlags()} {
		if len(list) < 4 || !slices.IsSorted(list) {
			t.Errorf("%q", list)
		}
	}
}
