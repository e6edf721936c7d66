package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// TestCheckSeccomp: check compiles a profile as create does, and reports what create would report:
// that the profile is invalid, or that the build has no seccomp, for which the test makes such a
// build.
func TestCheckSeccomp(t *testing.T) {
	harness.OrlopOnly(t, "others have no check")
	good := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}
	bad := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno,
		Args: []specs.LinuxSeccompArg{{Index: 9, Op: specs.OpEqualTo}}}}}
	without := func(b *harness.Box) {
		gocmd, err := exec.LookPath("go")
		if err != nil {
			b.T.Skip("no go command to build without seccomp with")
		}
		program := filepath.Join(b.Dir, "orlop")
		build := exec.Command(gocmd, "build", "-trimpath", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-o", program, "../..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := harness.Output(build); err != nil {
			b.T.Fatalf("build: %v\n%s", err, out)
		}
		b.Wrap = []string{"sh", "-c", `shift; exec "$0" "$@"`, program}
	}
	for name, tc := range map[string]struct {
		profile *specs.LinuxSeccomp
		build   func(*harness.Box)
		want    string // "": nothing is missing
	}{
		"good":                       {good, nil, ""},
		"bad":                        {bad, nil, "missing: linux.seccomp.syscalls[0].args[0].index: must be"},
		"a build without":            {good, without, "missing: linux.seccomp: this build has no seccomp"},
		"a build without, no filter": {nil, without, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, func(s *specs.Spec) { s.Linux.Seccomp = tc.profile })
			if tc.build != nil {
				tc.build(b)
			} else {
				needSeccomp(t, b)
			}
			r := b.Do("check", "--bundle", b.Bundle)
			if (r.Status == 0) != (tc.want == "") || !strings.Contains(r.Stdout, tc.want) {
				t.Errorf("status %d, want %q in: %s%s", r.Status, tc.want, r.Stdout, r.Stderr)
			}
			created := b.Do("create", "--bundle", b.Bundle, b.ID)
			if (created.Status == 0) != (tc.want == "") || !strings.Contains(created.Stderr, strings.TrimPrefix(tc.want, "missing: ")) {
				t.Errorf("create: status %d: %s", created.Status, created.Stderr)
			}
		})
	}
}
