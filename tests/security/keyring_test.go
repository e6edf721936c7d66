package security

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// keyringEnv makes this package's test binary a process of a container that uses keyrings: see
// keyringRole.
const keyringEnv = "ORLOP_TEST_KEYRING"

// TestKeyringByName: a process of a container waits with a keyring that has the name of the session
// keyring of a later container, and tries the names that it then sees. It neither reads a key of
// that container nor plants one.
func TestKeyringByName(t *testing.T) {
	if _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); err == unix.ENOSYS {
		t.Skip("this kernel has no keyrings")
	}
	attacker := harness.New(t, harness.Writable)
	harness.CopySelf(t, filepath.Join(attacker.Rootfs, "self"))
	attacker.Spec.Linux.MaskedPaths = nil // lets it see /proc/keys
	attacker.Write()
	attacker.Up()
	victim := harness.New(t, harness.Writable, harness.Args("sleep", "1000"))
	harness.CopySelf(t, filepath.Join(victim.Rootfs, "self"))
	as := func(b *harness.Box, role string) string {
		return b.OK("exec", "--env", keyringEnv+"="+role+":"+victim.ID, b.ID, "/self")
	}
	if got := as(attacker, "plant"); got != "planted\n" {
		t.Fatalf("the attacker: %q", got)
	}
	t.Cleanup(func() {
		if got := as(attacker, "uproot"); got != "" {
			t.Errorf("the planted keyring stays: %q", got)
		}
	})
	if got := as(attacker, "look"); !strings.Contains(got, "found planted") {
		t.Fatalf("who joins the keyring by its name does not find the planted key: %q shows nothing", got)
	}
	attempts(t, 5, func(int) {
		victim.OK("run", "--detach", "--bundle", victim.Bundle, victim.ID)
		if got := as(victim, "use"); got != "added secret\n" {
			t.Errorf("the victim: %q", got)
		}
		// Another process of the victim is in the same keyring.
		if got := as(victim, "use"); got != "found secret\nadded secret\n" {
			t.Errorf("the victim's second process: %q", got)
		}
		if got := as(attacker, "look"); strings.Contains(got, "secret") {
			t.Errorf("the attacker: %q", got)
		}
		victim.OK("delete", "--force", victim.ID)
	})
}

// keyringRole is a process that joins keyrings by name. role has the action and the ID of the
// victim:
//
//	plant   leaves a key in the keyring that the victim's would be called by its ID, and keeps
//	        that alive
//	uproot  undoes it
//	look    joins that keyring, and every other one of the victim in /proc/keys, and looks for
//	        keys
//	use     looks for keys in its session keyring, and adds one
func keyringRole(role string) {
	runtime.LockOSThread() // keyrings belong to a thread
	do, id, _ := strings.Cut(role, ":")
	name := "_ses." + id
	find := func() {
		for _, key := range []string{"planted", "secret"} {
			if _, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", key, 0); err == nil {
				fmt.Println("found", key)
			}
		}
	}
	switch do {
	case "plant":
		ring, err := unix.KeyctlJoinSessionKeyring(name)
		if err != nil {
			fmt.Println("join:", err)
			return
		}
		// Everybody may find and use it, and the user's keyring links to it.
		errs := []error{unix.KeyctlSetperm(ring, 0x3f3f3f3f)}
		_, err = unix.KeyctlInt(unix.KEYCTL_LINK, ring, unix.KEY_SPEC_USER_KEYRING, 0, 0)
		errs = append(errs, err)
		key, err := unix.AddKey("user", "planted", []byte("evil"), ring)
		errs = append(errs, err, unix.KeyctlSetperm(key, 0x3f3f3f3f))
		for _, err := range errs {
			if err != nil {
				fmt.Println(err)
				return
			}
		}
		fmt.Println("planted")
	case "uproot":
		ring, err := unix.KeyctlJoinSessionKeyring(name)
		if err == nil {
			_, err = unix.KeyctlInt(unix.KEYCTL_UNLINK, ring, unix.KEY_SPEC_USER_KEYRING, 0, 0)
		}
		if err != nil {
			fmt.Println(err)
		}
	case "look":
		names := []string{name}
		keys, _ := os.ReadFile("/proc/keys")
		for line := range strings.Lines(string(keys)) {
			for _, field := range strings.Fields(line) {
				if n := strings.TrimSuffix(field, ":"); strings.HasPrefix(n, name) {
					names = append(names, n)
				}
			}
		}
		for _, n := range names {
			if _, err := unix.KeyctlJoinSessionKeyring(n); err != nil {
				fmt.Println("join:", err)
			}
			find()
		}
	case "use":
		find()
		if _, err := unix.AddKey("user", "secret", []byte("s3cr3t"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
			fmt.Println("add:", err)
			return
		}
		fmt.Println("added secret")
	}
}
