package setup

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv"
)

// setLabel has a security module confine the program that the process executes, or label what it
// creates. The label is written to the host's procfs before any namespace is joined: in a container
// another file may be in its place, and pretend to accept the label (CVE-2019-16884,
// CVE-2019-19921, CVE-2025-52881). The process and its child keep it until the exec.
type setLabel struct {
	Module string // for messages
	File   string // below /proc/self/attr
	Value  string
}

func (setLabel) kind() kind { return kind{phaseIsolate, "set label", ""} }

func (s setLabel) String() string {
	return "set " + s.Module + " label " + strconv.Quote(s.Value) + " (" + s.File + ")"
}

func (s setLabel) lower(l *lowering) { l.writeSelf("attr/"+s.File, s.Value) }

// labelSteps appends the labels of the process.
func (b *builder) labelSteps(p *specs.Process) error {
	if profile := p.ApparmorProfile; profile != "" {
		if !b.facts.AppArmor {
			return specconv.Invalid("process.apparmorProfile", "AppArmor is not enabled on this host")
		}
		b.add("process.apparmorProfile", setLabel{"AppArmor", "apparmor/exec", b.profileCommand(p) + " " + profile})
	}
	if label := p.SelinuxLabel; label != "" {
		if !b.facts.SELinux {
			return specconv.Invalid("process.selinuxLabel", "SELinux is not enabled on this host")
		}
		b.add("process.selinuxLabel", setLabel{"SELinux", "exec", label})
		b.add("process.selinuxLabel", setLabel{"SELinux", "keycreate", label})
	}
	return nil
}

// profileCommand returns how the kernel is to apply a profile. With no_new_privs a confined process
// may only give up privileges: the profile is then stacked on the runtime's, and both apply.
func (b *builder) profileCommand(p *specs.Process) string {
	if p.NoNewPrivileges && b.facts.Confined {
		return "stack"
	}
	return "exec"
}

// mountLabel returns the parameter that applies linux.mountLabel to a new filesystem. procfs and
// sysfs get none, because the kernel labels them itself.
func (b *builder) mountLabel(m *specconv.Mount) []string {
	label := ""
	if l := b.bundle.Spec.Linux; l != nil {
		label = l.MountLabel
	}
	if label == "" || !b.facts.SELinux || m.Bind || m.Remount || m.Type == "proc" || m.Type == "sysfs" {
		return nil
	}
	kind := b.bundle.Spec.Annotations[specconv.MountContextType]
	if kind == "" {
		kind = "context"
	}
	return []string{kind + "=" + label}
}
