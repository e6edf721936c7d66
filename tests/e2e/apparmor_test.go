package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// withProfile loads a profile that denies one file, and unloads it after the test.
func withProfile(t *testing.T, b *harness.Box) (name string) {
	t.Helper()
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || !strings.HasPrefix(string(enabled), "Y") {
		t.Skip("this kernel has no AppArmor, or it is not enabled")
	}
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		t.Skip("needs apparmor_parser (Debian: apparmor)")
	}
	name = "orlop-test-" + b.ID
	file := filepath.Join(b.Dir, "profile")
	must(t, os.WriteFile(file, []byte(`profile "`+name+`" flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  deny /etc/secret r,
}
`), 0o644))
	b.Aside(exec.Command(parser, "--skip-cache", "--add", file))
	b.After(func() { b.Aside(exec.Command(parser, "--remove", file)) })
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "etc", "secret"), []byte("secret\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "etc", "open"), []byte("open\n"), 0o644))
	return name
}

const readBoth = "cat /proc/self/attr/current; cat /etc/open; cat /etc/secret 2>/dev/null || echo denied"

// TestAppArmor: the profile confines the container's process and processes executed in it, which
// may request another one.
func TestAppArmor(t *testing.T) {
	for _, user := range []bool{false, true} {
		b := harness.New(t)
		profile := withProfile(t, b)
		if user {
			withUser(shifted())(b.Spec)
			own(t, b, 100000)
		}
		confined := profile + " (enforce)\nopen\ndenied\n"
		b.Spec.Process.ApparmorProfile = profile
		b.Up()
		for _, args := range [][]string{{"exec", b.ID}, {"exec", "--apparmor", profile, b.ID}} {
			if got := b.OK(append(args, "sh", "-c", readBoth)...); got != confined {
				t.Errorf("%q: got %q, want %q", args, got, confined)
			}
		}
		if got := b.OK("exec", b.ID, "cat", "/proc/1/attr/current"); got != profile+" (enforce)\n" {
			t.Errorf("the first process has %q", got)
		}
		if got := b.OK("exec", "--apparmor", "unconfined", b.ID, "sh", "-c", readBoth); got != "unconfined\nopen\nsecret\n" {
			t.Errorf("unconfined: got %q", got)
		}
		b.OK("delete", "--force", b.ID)
	}
}

// TestAppArmorFails: a missing profile is an error, never a container without one.
func TestAppArmorFails(t *testing.T) {
	harness.OrlopOnly(t, "texts")
	b := harness.New(t)
	b.Spec.Process.ApparmorProfile = "no such profile"
	want := `process.apparmorProfile: the profile "no such profile" is not loaded`
	if enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled"); !strings.HasPrefix(string(enabled), "Y") {
		want = "process.apparmorProfile: AppArmor is not enabled on this host"
	}
	b.Run().Fails(b, want)
	b.CheckClean()
}

// TestSELinuxLabels: without SELinux, a process with a label does not run, and files without labels
// cause a warning.
func TestSELinuxLabels(t *testing.T) {
	harness.OrlopOnly(t, "others say nothing")
	if _, err := os.Stat("/sys/fs/selinux/policyvers"); err == nil {
		t.Skip("SELinux is enabled here")
	}
	b := harness.New(t)
	b.Spec.Linux.MountLabel = "system_u:object_r:container_file_t:s0"
	r := b.Run(harness.Args("true"))
	r.OK(b)
	if want := "linux.mountLabel: SELinux is not enabled on this host: no label is set"; !strings.Contains(r.Stderr, want) {
		t.Errorf("no warning in %q", r.Stderr)
	}
	b.Spec.Process.SelinuxLabel = "system_u:system_r:container_t:s0"
	b.Run().Fails(b, "process.selinuxLabel: SELinux is not enabled on this host")
	b.CheckClean()
}
