package cli

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/specconv"
)

func (p *program) featuresCommand() *cli.Command {
	return &cli.Command{
		Usage:       "print what this runtime can do",
		Description: "Prints the features structure of the OCI runtime specification as JSON. What is listed is implemented, whether or not this host has it.",
		Action: func(c *cli.Context) error {
			if err := argsFor(c, 0, 0, "none"); err != nil {
				return err
			}
			return writeJSON(p.stdout, p.features(), "    ")
		},
	}
}

// features returns what there is, from the tables by which configurations are parsed.
func (p *program) features() *features.Features {
	yes, no := true, false
	f := &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  slices.DeleteFunc(specconv.MountOptionNames(), unimplementedOption),
		Linux: &features.Linux{
			Namespaces:   namespaceNames(),
			Capabilities: specconv.CapabilityNames(),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &no, SystemdUser: &no, Rdma: &no},
			Seccomp:      &features.Seccomp{Enabled: &no},
			Apparmor:     &features.Apparmor{Enabled: &no},
			Selinux:      &features.Selinux{Enabled: &no},
			IntelRdt:     &features.IntelRdt{Enabled: &no},
			MountExtensions: &features.MountExtensions{
				IDMap: &features.IDMap{Enabled: &yes},
			},
			NetDevices: &features.NetDevices{Enabled: &no},
		},
		Annotations: map[string]string{"io.github.orlop.version": p.version},
	}
	if commit := commit(); commit != "" {
		f.Annotations["io.github.orlop.commit"] = commit
	}
	return f
}

// namespaceNames lists the namespaces that a configuration may have: Kubernetes offers user namespaces only when "user" is
// among them.
func namespaceNames() []string {
	var names []string
	for _, k := range specconv.NamespaceKinds() {
		probe := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: k.Type}}}}
		if len(specconv.Unsupported(probe)) == 0 {
			names = append(names, string(k.Type))
		}
	}
	slices.Sort(names)
	return names
}

// unimplementedOption reports whether a mount option is known, but refused.
func unimplementedOption(option string) bool {
	probe := &specs.Spec{Mounts: []specs.Mount{{Options: []string{option}}}}
	return len(specconv.Unsupported(probe)) > 0
}
