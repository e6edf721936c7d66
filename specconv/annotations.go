package specconv

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// Annotations that change what the runtime does. Those that begin with run.oci are crun's.
const (
	// KeepGroups, set to "1", lets a process keep the runtime's additional groups. Podman sets it
	// (--group-add keep-groups).
	KeepGroups = "run.oci.keep_original_groups"
	// SystemdProperty is the prefix of annotations that set properties of the container's unit. The
	// rest of the name is the property's name.
	SystemdProperty = "org.systemd.property."
	// HooksStdout and HooksStderr are files that hooks write to. They are opened for appending and
	// created if necessary.
	HooksStdout = "run.oci.hooks.stdout"
	HooksStderr = "run.oci.hooks.stderr"
	// MountContextType is the mount option for linux.mountLabel: see mount(8).
	MountContextType = "run.oci.mount_context_type"
	// PidfdReceiver is a unix socket that receives a pidfd of the container's process.
	PidfdReceiver = "run.oci.pidfd_receiver"
	// SeccompReceiver sets linux.seccomp.listenerPath.
	SeccompReceiver = "run.oci.seccomp.receiver"
	// SystemdSubgroup names a cgroup below the unit's for the container. "" means none.
	SystemdSubgroup = "run.oci.systemd.subgroup"
	// DelegateCgroup names a cgroup below the container's that holds its processes and belongs to
	// its root user.
	DelegateCgroup = "run.oci.delegate-cgroup"
)

// An AnnotationRule says how the runtime treats an annotation.
type AnnotationRule struct {
	// Name is the whole name, or a prefix if it ends with ".".
	Name string
	// Effect is for people.
	Effect  string
	Verdict AnnotationVerdict
}

// AnnotationVerdict is the runtime's treatment of an annotation.
type AnnotationVerdict uint8

const (
	AnnotationHeeded  AnnotationVerdict = iota // it changes what the runtime does
	AnnotationRefused                          // the runtime does not implement it, and must not ignore it
	AnnotationIgnored                          // a warning
)

// annotationRules is the table of all annotations that concern the runtime. The first match counts.
var annotationRules = [...]AnnotationRule{
	{SystemdProperty, "sets a property of the container's unit", AnnotationHeeded},
	{KeepGroups, "\"1\": the process keeps the runtime's supplementary groups", AnnotationHeeded},
	{HooksStdout, "a file to which the standard output of hooks is appended", AnnotationHeeded},
	{HooksStderr, "a file to which the standard error of hooks is appended", AnnotationHeeded},
	{MountContextType, "the mount option that applies linux.mountLabel: context, fscontext, defcontext or rootcontext", AnnotationHeeded},
	{PidfdReceiver, "a unix socket that receives a pidfd of the container's process", AnnotationHeeded},
	{SeccompReceiver, "linux.seccomp.listenerPath, if that is not set", AnnotationHeeded},
	{SystemdSubgroup, "the name of a cgroup below the unit's, which becomes the container's", AnnotationHeeded},
	{DelegateCgroup, "the name of a cgroup below the container's, without limits, which holds its processes and belongs to its root", AnnotationHeeded},
	{"run.oci.handler", "runs the program by another handler, such as a virtual machine", AnnotationRefused},
	{"krun.", "configures a virtual machine", AnnotationRefused},
	{"module.wasm.", "runs the program as a WebAssembly module", AnnotationRefused},
	{"run.oci.seccomp_bpf_data", "replaces linux.seccomp by a compiled filter", AnnotationRefused},
	{"run.oci.seccomp_fail_unknown_syscall", "refuses a filter that names unknown system calls", AnnotationRefused},
	{"run.oci.", "any other annotation of crun", AnnotationIgnored},
}

// AnnotationRules returns the table.
func AnnotationRules() []AnnotationRule { return annotationRules[:] }

// UnsafeAnnotations returns the annotations that change what the runtime does. A program that lets
// others add annotations to a configuration must know them. A name that ends with "." is a prefix.
func UnsafeAnnotations() []string {
	var names []string
	for _, r := range annotationRules {
		if r.Verdict == AnnotationHeeded {
			names = append(names, r.Name)
		}
	}
	return names
}

// annotationRule returns the rule for an annotation, nil if it does not concern the runtime.
func annotationRule(name string) *AnnotationRule {
	for i := range annotationRules {
		r := &annotationRules[i]
		if name == r.Name || strings.HasSuffix(r.Name, ".") && strings.HasPrefix(name, r.Name) {
			return r
		}
	}
	return nil
}

// annotations checks annotations and applies them to the configuration: "Keys MUST NOT be an empty
// string".
func (c *checker) annotations() {
	if len(c.spec.Annotations) == 0 {
		return
	}
	for _, name := range sortedKeys(c.spec.Annotations) {
		path, value := jsonpath.Member("annotations", name), c.spec.Annotations[name]
		if name == "" {
			c.fault(path, "a key must not be empty")
			continue
		}
		r := annotationRule(name)
		switch {
		case r == nil:
		case r.Verdict == AnnotationRefused:
			c.fault(path, "is not implemented: it "+r.Effect)
		case r.Verdict == AnnotationIgnored:
			c.warn(path, "is not implemented, and has no effect")
		default:
			c.annotation(name, path, value)
		}
	}
}

// annotation checks an annotation that is heeded.
func (c *checker) annotation(name, path, value string) {
	switch name {
	case HooksStdout, HooksStderr:
		if value == "" || hasNUL(value) {
			c.fault(path, "must be the path of a file")
		}
	case MountContextType:
		c.problem(path, oneOf(value, "context", "fscontext", "defcontext", "rootcontext"))
	case PidfdReceiver:
		c.problem(path, pathProblem(value))
	case SystemdSubgroup, DelegateCgroup:
		if problem := cgroupNameProblem(value); value != "" && problem != "" {
			c.fault(path, problem)
		}
	case SeccompReceiver:
		c.seccompReceiver(path, value)
	}
}

// cgroupNameProblem says why a cgroup cannot have a name: it must be that of a single directory.
func cgroupNameProblem(name string) string {
	switch {
	case name == "." || name == ".." || strings.ContainsAny(name, "/\n\x00"):
		return fmt.Sprintf("must be the name of one cgroup, without \"/\", not %q", name)
	case len(name) > 255:
		return "must not be longer than 255 bytes"
	}
	return ""
}

// AnnotationPath returns the JSON path of an annotation.
func AnnotationPath(name string) string { return jsonpath.Member("annotations", name) }

// seccompReceiver copies the receiver to linux.seccomp.listenerPath.
func (c *checker) seccompReceiver(path, value string) {
	l, problem := c.spec.Linux, pathProblem(value)
	switch {
	case problem != "":
		c.fault(path, problem)
	case l == nil || l.Seccomp == nil:
		c.warn(path, "has no effect without linux.seccomp")
	case l.Seccomp.ListenerPath == "":
		l.Seccomp.ListenerPath = value
	case l.Seccomp.ListenerPath != value:
		c.fault(path, "is another one than linux.seccomp.listenerPath")
	}
}

// HookOutput returns the path of the hooks' output file that an annotation, HooksStdout or
// HooksStderr, names; "" for none. A relative path starts at the bundle directory.
func HookOutput(annotations map[string]string, name, dir string) string {
	if annotations[name] == "" {
		return ""
	}
	return inBundle(dir, annotations[name])
}
