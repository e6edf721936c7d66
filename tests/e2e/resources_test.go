package e2e

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// TestResources: every field of linux.resources, as config.json and update set it, is in the
// kernel's files.
func TestResources(t *testing.T) {
	harness.OrlopOnly(t, "others lack some")
	harness.LockControllers(t)
	find := func(r *resource) (hierarchy, string) { return hierarchyOf(t, r.controller) }
	// The disk's scheduler may add files to all cgroups.
	for _, disk := range []bool{false, true} {
		runTrials(t, slices.DeleteFunc(resources(), func(r resource) bool { return r.disk != disk }), find, func(*harness.Box) {})
	}
}

// TestResourcesOfUnits: the same if systemd manages the container's cgroup, and writes some files
// itself.
func TestResourcesOfUnits(t *testing.T) {
	managed(t)
	harness.LockControllers(t)
	find := func(r *resource) (hierarchy, string) { return hierarchyOf(t, r.controller) }
	list := slices.DeleteFunc(resources(), func(r resource) bool { return r.disk || r.refused == onlyV1 && onCgroup2(r.controller) })
	runTrials(t, list, find, func(b *harness.Box) {
		b.Global = []string{"--systemd-cgroup"}
		inUnit(b, "", "")
	})
}

// TestResourcesV1Only: the same for v1's controllers that hosts seldom mount. They turn a host that
// only has cgroup2 into a mixture, so limits of other controllers are tested with them.
func TestResourcesV1Only(t *testing.T) {
	harness.OrlopOnly(t, "others lack some")
	harness.LockControllers(t)
	for _, controller := range []string{"net_cls", "net_prio", "hugetlb", "rdma"} {
		t.Run(controller, func(t *testing.T) {
			h := mountV1(t, controller)
			list := slices.DeleteFunc(resources(), func(r resource) bool {
				return (r.controller != controller || r.v1 == nil) && r.fields != "memory.limit" && r.fields != "pids.limit"
			})
			runTrials(t, list, func(r *resource) (hierarchy, string) {
				if r.controller == controller {
					return h, ""
				}
				return hierarchyOf(t, r.controller)
			}, func(*harness.Box) {})
		})
	}
}

// TestEveryResource: the matrix has every field that runtime-spec has, and no other.
func TestEveryResource(t *testing.T) {
	tested := map[string]bool{}
	for _, r := range resources() {
		for field := range strings.FieldsSeq(r.fields) {
			tested[field] = true
		}
	}
	for _, field := range leaves(reflect.TypeFor[specs.LinuxResources](), "") {
		if !tested[field] {
			t.Errorf("linux.resources.%s is not in the matrix of resources", field)
		}
		delete(tested, field)
	}
	for field := range tested {
		t.Errorf("the matrix has linux.resources.%s, which runtime-spec has not", field)
	}
}

// leaves lists the fields of a type that have values, by their JSON paths: "memory.limit",
// "devices[].allow", "rdma{}.hcaObjects".
func leaves(of reflect.Type, path string) []string {
	switch of.Kind() {
	case reflect.Pointer:
		return leaves(of.Elem(), path)
	case reflect.Slice:
		return leaves(of.Elem(), path+"[]")
	case reflect.Map:
		return leaves(of.Elem(), path+"{}")
	case reflect.Struct:
	default:
		return []string{path}
	}
	var all []string
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		below := path
		switch {
		case f.Anonymous && name == "": // its fields belong to this one
		case path == "":
			below = name
		default:
			below += "." + name
		}
		all = append(all, leaves(f.Type, below)...)
	}
	return all
}
