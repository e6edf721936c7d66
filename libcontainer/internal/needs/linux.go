package needs

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// rest adds the needs of the remaining sections of linux. Package cgroups handles cgroups.
func (l *list) rest() {
	if l.linux.MountLabel != "" {
		l.add("linux.mountLabel", Need{Kind: SELinux, Name: l.linux.MountLabel})
	}
	if len(l.linux.NetDevices) > 0 {
		l.add("linux.netDevices", Need{Kind: Capability, Name: "CAP_NET_ADMIN"})
	}
	for name := range sorted(l.linux.NetDevices) {
		l.add(jsonpath.Member("linux.netDevices", name), Need{Kind: Interface, Name: name})
	}
	l.seccomp(l.linux.Seccomp)
	l.resctrl(l.linux.IntelRdt)
	if m := l.linux.MemoryPolicy; m != nil {
		l.add("linux.memoryPolicy", Need{Kind: Feature, Name: "set_mempolicy"})
		if m.Nodes != "" {
			l.add("linux.memoryPolicy.nodes", Need{Kind: MemoryNodes, Name: m.Nodes})
		}
	}
}

func (l *list) seccomp(s *specs.LinuxSeccomp) {
	if s == nil {
		return
	}
	const path = "linux.seccomp"
	l.add(path+".defaultAction", Need{Kind: SeccompAction, Name: string(s.DefaultAction)})
	for i, f := range s.Flags {
		l.add(jsonpath.Index(path+".flags", i), Need{Kind: SeccompFlag, Name: string(f)})
	}
	for i := range s.Syscalls {
		l.add(jsonpath.Index(path+".syscalls", i)+".action", Need{Kind: SeccompAction, Name: string(s.Syscalls[i].Action)})
	}
	if s.ListenerPath != "" {
		l.add(path+".listenerPath", Need{Kind: Socket, Name: s.ListenerPath})
	}
}

// resctrl adds the parts of the resctrl filesystem that are used.
func (l *list) resctrl(r *specs.LinuxIntelRdt) {
	if r == nil {
		return
	}
	const path = "linux.intelRdt"
	l.add(path, Need{Kind: Resctrl})
	if r.L3CacheSchema != "" {
		l.add(path+".l3CacheSchema", Need{Kind: Resctrl, Name: "L3"})
	}
	if r.MemBwSchema != "" {
		l.add(path+".memBwSchema", Need{Kind: Resctrl, Name: "MB"})
	}
	if r.EnableMonitoring {
		l.add(path+".enableMonitoring", Need{Kind: Resctrl, Name: "L3_MON"})
	}
}

// sorted iterates over an object in the order of its keys, so that equal configurations have equal
// needs.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
