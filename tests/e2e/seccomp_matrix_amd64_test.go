package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
	"github.com/orlop/orlop/tests/profile"
	"github.com/orlop/orlop/tests/syscalls"
)

// TestSeccompDocker: the result of each system call of a table in a container with Docker's default
// capabilities and profile. The same container without the profile is the control: the filter's
// result must differ from the kernel's.
func TestSeccompDocker(t *testing.T) {
	if harness.Name() == "crun" {
		t.Skip("crun answers EPERM to calls that are newer than the profile")
	}
	for _, kind := range []syscalls.Kind{syscalls.Native, syscalls.X86, syscalls.X32} {
		t.Run(string(kind), func(t *testing.T) {
			b := harness.New(t, harness.Caps(profile.Capabilities()...))
			needSeccomp(t, b)
			without := probe(t, b, kind)
			b.Spec.Linux.Seccomp = new(specs.LinuxSeccomp)
			must(t, json.Unmarshal(profile.Docker(), b.Spec.Linux.Seccomp))
			with := probe(t, b, kind)

			shown, same, unknown := 0, []string{}, []string{}
			for _, call := range syscalls.Calls(kind) {
				got, kernel := with[call.Name], without[call.Name]
				want := kernel
				switch {
				case call.Want == syscalls.Refused:
					want = syscall.EPERM
				case call.Want == syscalls.Absent:
					want = syscall.ENOSYS
				case call.Want == syscalls.Newer && kernel != syscall.ENOSYS && (got == syscall.ENOSYS || len(unknown) > 0):
					// The numbers that libseccomp knows end somewhere.
					want = syscall.ENOSYS
					unknown = append(unknown, call.Name)
				}
				if got != want {
					t.Errorf("%s: %q, want %q (without a profile %q)", call.Name, got, want, kernel)
				}
				// The filter's two results may also be the kernel's own: such a row proves less.
				if refusal := kernel == syscall.EPERM || kernel == syscall.ENOSYS; refusal && (want == kernel || call.Want == syscalls.Allowed) {
					same = append(same, call.Name)
				} else {
					shown++
				}
			}
			t.Logf("%d calls, of which %d end otherwise here if the filter is wrong, but for %q; unknown to libseccomp: %q", len(with), shown, same, unknown)
			if shown < len(with)/2 {
				t.Errorf("only %d calls show something", shown)
			}
		})
	}
}

// probe runs this test's binary in a container, which makes the calls.
func probe(t *testing.T, b *harness.Box, kind syscalls.Kind) map[string]syscall.Errno {
	t.Helper()
	harness.CopySelf(t, filepath.Join(b.Rootfs, "prober"))
	b.Spec.Process.Args = []string{"/prober"}
	b.Spec.Process.Env = []string{syscalls.Env + "=" + string(kind)}
	b.Write()
	r := b.Do("run", "--bundle", b.Bundle, b.ID)
	if kind == syscalls.X86 && b.Spec.Linux.Seccomp == nil && r.Status != 0 && strings.Contains(r.Stderr, "SIGSEGV") {
		t.Skip("this kernel has no 32-bit system calls (IA32_EMULATION)")
	}
	results, err := syscalls.Parse(strings.NewReader(r.OK(b)))
	must(t, err)
	if len(results) != len(syscalls.Calls(kind)) {
		t.Fatalf("%d results of %d calls: %s", len(results), len(syscalls.Calls(kind)), r.Stdout)
	}
	return results
}
