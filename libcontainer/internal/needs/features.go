package needs

import "slices"

// A KernelFeature is a feature that kernels have from some version on, if they were built with it.
type KernelFeature struct {
	Name  string
	Since string // the first version of Linux that has it
	For   string // its purpose
	// Always is set for a feature that every container needs.
	Always bool
}

// features is the table of kernel features, sorted by name.
var features = [...]KernelFeature{
	{"clone3 into cgroup", "5.7", "processes start in their cgroup", false},
	{"close_range", "5.11", "no descriptor of the runtime reaches a program", true},
	{"faccessat2", "5.8", "programs are looked up as their user", true},
	{"idmapped mounts", "5.12", "mounts with IDs of their own", false},
	{"keyrings", "2.6.10", "session keyrings of containers", false},
	{"memfd", "3.17", "the image of a container's first process", true},
	{"mount API", "5.2", "mounts by descriptors: fsopen, fsmount, open_tree, move_mount", true},
	{"mount_setattr", "5.12", "attributes of whole trees of mounts", true},
	{"nosymfollow", "5.14", "mounts in which no symbolic link is followed", false},
	{"openat2", "5.6", "paths that cannot leave the root", true},
	{"pidfd", "5.3", "processes by descriptors", true},
	{"set_mempolicy", "2.6.7", "memory policies", false},
	{"setns by pidfd", "5.8", "processes join a container at once", true},
}

// Features returns the table of kernel features, sorted by name.
func Features() []KernelFeature { return slices.Clone(features[:]) }

// FeatureNamed returns a row of the table; it is empty for an unknown name.
func FeatureNamed(name string) KernelFeature {
	for _, f := range features {
		if f.Name == name {
			return f
		}
	}
	return KernelFeature{}
}

// kernel adds the features that every container needs.
func (l *list) kernel() {
	for _, f := range features {
		if f.Always {
			l.add("", Need{Kind: Feature, Name: f.Name})
		}
	}
}
