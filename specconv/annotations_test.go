package specconv

import (
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestAnnotations(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"run.oci.handler", "krun", `annotations["run.oci.handler"]: is not implemented: it runs the program by another handler, such as a virtual machine`},
		{"krun.cpus", "2", `annotations["krun.cpus"]: is not implemented: it configures a virtual machine`},
		{"module.wasm.image/variant", "compat", `annotations["module.wasm.image/variant"]: is not implemented: it runs the program as a WebAssembly module`},
		{"run.oci.seccomp_bpf_data", "AAAA", `annotations["run.oci.seccomp_bpf_data"]: is not implemented: it replaces linux.seccomp by a compiled filter`},
		{"run.oci.seccomp_fail_unknown_syscall", "1", `annotations["run.oci.seccomp_fail_unknown_syscall"]: is not implemented: it refuses a filter that names unknown system calls`},
		{"run.oci.what", "1", `warning: annotations["run.oci.what"]: is not implemented, and has no effect`},
		{"run.oci.systemd.subgroup", "x", ""},
		{"run.oci.systemd.subgroup", "", ""},
		{"run.oci.systemd.subgroup", "a/b", `annotations["run.oci.systemd.subgroup"]: must be the name of one cgroup, without "/", not "a/b"`},
		{"run.oci.delegate-cgroup", "x", ""},
		{"run.oci.delegate-cgroup", "..", `annotations["run.oci.delegate-cgroup"]: must be the name of one cgroup, without "/", not ".."`},
		{"run.oci.delegate-cgroup", "a\nb", `annotations["run.oci.delegate-cgroup"]: must be the name of one cgroup, without "/", not "a\nb"`},
		{"run.oci.delegate-cgroup", strings.Repeat("n", 256), `annotations["run.oci.delegate-cgroup"]: must not be longer than 255 bytes`},
		{"run.oci.hooks.stdout", "", `annotations["run.oci.hooks.stdout"]: must be the path of a file`},
		{"run.oci.hooks.stderr", "log", ""},
		{"run.oci.mount_context_type", "xcontext", `annotations["run.oci.mount_context_type"]: unknown value "xcontext", must be one of context, fscontext, defcontext, rootcontext`},
		{"run.oci.pidfd_receiver", "s", `annotations["run.oci.pidfd_receiver"]: must be absolute, not "s"`},
		{"run.oci.seccomp.receiver", "/s", `warning: annotations["run.oci.seccomp.receiver"]: has no effect without linux.seccomp`},
		{"org.systemd.property.X", "1", ""},
		{"run.ocix", "1", ""},
		{"krun", "1", ""},
	} {
		want := []string{c.want}
		if c.want == "" {
			want = nil
		}
		expect(t, func(s *specs.Spec) {
			s.Linux.Seccomp = nil
			s.Annotations = map[string]string{c.name: c.value}
		}, want...)
	}
	receiver := func(listener string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActNotify, ListenerPath: listener}
			s.Annotations = map[string]string{SeccompReceiver: "/s"}
		}
	}
	expect(t, receiver("/other"), `annotations["run.oci.seccomp.receiver"]: is another one than linux.seccomp.listenerPath`)
	for _, listener := range []string{"", "/s"} {
		expect(t, func(s *specs.Spec) {
			receiver(listener)(s)
			c := checker{spec: s}
			c.annotations()
			if s.Linux.Seccomp.ListenerPath != "/s" {
				t.Errorf("listenerPath is %q", s.Linux.Seccomp.ListenerPath)
			}
		})
	}
	expect(t, func(s *specs.Spec) { s.Process.User.Username = "who" },
		"warning: process.user.username: has no effect on Linux: uid and gid say who the user is")
}

// TestAnnotationsDocumented: the documentation has the table.
func TestAnnotationsDocumented(t *testing.T) {
	docs, err := os.ReadFile("../docs/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[AnnotationVerdict]string{AnnotationHeeded: "honored", AnnotationRefused: "an error", AnnotationIgnored: "a warning"}
	for _, r := range AnnotationRules() {
		name := r.Name
		if strings.HasSuffix(name, ".") {
			name += "*"
		}
		row := "| `" + name + "` | " + verdicts[r.Verdict] + " | " + r.Effect + " |"
		if !slices.Contains(strings.Split(string(docs), "\n"), row) {
			t.Errorf("docs/engines.md lacks the row\n%s", row)
		}
	}
}
