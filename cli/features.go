package cli

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/seccomp"
	"github.com/orlop/orlop/specconv"
)

func (p *program) featuresCommand() *cli.Command {
	return &cli.Command{
		Name:  "features",
		Usage: "print the features of this runtime",
		Description: "Prints the features structure of the OCI runtime specification as JSON. It lists what is implemented, whether or not this " +
			"host supports it: orlop info describes the host.",
		Action: func(ctx *cli.Context) error {
			if err := argsFor(ctx, 0, 0, "none"); err != nil {
				return err
			}
			return writeJSON(p.stdout, p.features(), "    ")
		},
	}
}

// minVersion is the oldest version of the specification. No configuration is refused for its age.
const minVersion = "1.0.0"

// features derives the structure from the tables that parse configurations, and from what they
// refuse.
func (p *program) features() *features.Features {
	f := &features.Features{
		OCIVersionMin:                      minVersion,
		OCIVersionMax:                      specs.Version,
		Hooks:                              specconv.HookKinds(),
		MountOptions:                       slices.DeleteFunc(specconv.MountOptionNames(), refusedOption),
		PotentiallyUnsafeConfigAnnotations: specconv.UnsafeAnnotations(),
		Linux: &features.Linux{
			Namespaces:   namespaceNames(),
			Capabilities: specconv.CapabilityNames(),
			Cgroup:       cgroupFeatures(),
			Seccomp:      seccompFeatures(),
			Apparmor:     &features.Apparmor{Enabled: takesProcess(specs.Process{ApparmorProfile: "x"})},
			Selinux:      &features.Selinux{Enabled: takesSelinux()},
			IntelRdt: &features.IntelRdt{
				Enabled:    takes(specs.Linux{IntelRdt: &specs.LinuxIntelRdt{ClosID: "x"}}),
				Schemata:   takes(specs.Linux{IntelRdt: &specs.LinuxIntelRdt{Schemata: []string{"x"}}}),
				Monitoring: takes(specs.Linux{IntelRdt: &specs.LinuxIntelRdt{EnableMonitoring: true}}),
			},
			MemoryPolicy: &features.MemoryPolicy{Modes: specconv.MemoryPolicyModes(), Flags: specconv.MemoryPolicyFlags()},
			MountExtensions: &features.MountExtensions{
				IDMap: &features.IDMap{Enabled: takesMount(specs.Mount{UIDMappings: []specs.LinuxIDMapping{{Size: 1}}})},
			},
			NetDevices: &features.NetDevices{Enabled: takes(specs.Linux{NetDevices: map[string]specs.LinuxNetDevice{"x": {}}})},
		},
		Annotations: map[string]string{"io.github.orlop.version": p.version},
	}
	if commit := commit(); commit != "" {
		f.Annotations["io.github.orlop.commit"] = commit
	}
	return f
}

// takesSpec reports whether a configuration is implemented. It returns a pointer since the features
// structure tells "no" from "unknown".
func takesSpec(s *specs.Spec) *bool {
	yes := len(specconv.Unsupported(s)) == 0
	return &yes
}

func takes(l specs.Linux) *bool { return takesSpec(&specs.Spec{Linux: &l}) }

func takesProcess(p specs.Process) *bool { return takesSpec(&specs.Spec{Process: &p}) }

func takesMount(m specs.Mount) *bool { return takesSpec(&specs.Spec{Mounts: []specs.Mount{m}}) }

// takesSelinux covers the labels of the process and of the mounts.
func takesSelinux() *bool {
	return takesSpec(&specs.Spec{Process: &specs.Process{SelinuxLabel: "x"}, Linux: &specs.Linux{MountLabel: "x"}})
}

// namespaceNames lists the supported namespaces. Kubernetes offers user namespaces only if "user"
// is among them.
func namespaceNames() []string {
	var names []string
	for _, k := range specconv.NamespaceKinds() {
		if *takes(specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: k.Type}}}) {
			names = append(names, string(k.Type))
		}
	}
	return names
}

// refusedOption reports whether a mount option is known, but refused.
func refusedOption(option string) bool { return !*takesMount(specs.Mount{Options: []string{option}}) }

func cgroupFeatures() *features.Cgroup {
	yes := true
	rdma := len(cgroups.Unapplied(&specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"x": {}}})) == 0
	return &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &rdma}
}

func seccompFeatures() *features.Seccomp {
	enabled := seccomp.Available
	f := &features.Seccomp{Enabled: &enabled}
	if *f.Enabled {
		f.Actions, f.Operators, f.Archs = specconv.SeccompActions(), specconv.SeccompOperators(), specconv.SeccompArchs()
		f.KnownFlags, f.SupportedFlags = specconv.SeccompFlags(), specconv.SeccompFlags()
	}
	return f
}
