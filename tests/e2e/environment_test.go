package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

const passwd = "/etc/passwd"

// passwdVolume makes a directory of the host with a passwd of its own.
func passwdVolume(b *harness.Box) string {
	dir := filepath.Join(b.Dir, "volume")
	must(b.T, os.MkdirAll(dir, 0o755))
	must(b.T, os.WriteFile(dir+"/passwd", []byte("root:x:0:0::/of-volume:/bin/sh\n"), 0o644))
	return dir
}

// replacePasswd replaces /etc/passwd of the image.
func replacePasswd(b *harness.Box, with func(path string) error) {
	path := filepath.Join(b.Rootfs, passwd)
	must(b.T, os.Remove(path))
	must(b.T, with(path))
}

// passwdText is replacePasswd with a file.
func passwdText(text string) func(*harness.Box) {
	return func(b *harness.Box) {
		replacePasswd(b, func(path string) error { return os.WriteFile(path, []byte(text), 0o644) })
	}
}

// passwdLink is replacePasswd with a symbolic link.
func passwdLink(target string) func(*harness.Box) {
	return func(b *harness.Box) {
		replacePasswd(b, func(path string) error { return os.Symlink(target, path) })
	}
}

// TestHome: if HOME is empty or missing, it is the home directory of process.user in the passwd
// that the container sees, for create and for exec. Without a readable passwd it is "/", and
// nothing blocks.
func TestHome(t *testing.T) {
	env := func(env ...string) func(*harness.Box) {
		return func(b *harness.Box) { b.Spec.Process.Env = append(b.Spec.Process.Env, env...) }
	}
	user := func(uid uint32) func(*harness.Box) { return func(b *harness.Box) { b.Spec.Process.User.UID = uid } }
	mount := func(destination string, source func(*harness.Box) string, kind string) func(*harness.Box) {
		return func(b *harness.Box) { harness.WithMount(destination, kind, source(b), "rbind")(b.Spec) }
	}
	file := func(b *harness.Box) string { return passwdVolume(b) + "/passwd" }
	both := func(list ...func(*harness.Box)) func(*harness.Box) {
		return func(b *harness.Box) {
			for _, change := range list {
				change(b)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*harness.Box)
		want   string
	}{
		{"missing", both(), "/root"},
		{"empty", env("HOME="), "/root"},
		{"given", env("HOME=/given"), "/given"},
		{"given twice", env("HOME=/first", "HOME=/second"), "/second"},
		{"given, then empty", env("HOME=/first", "HOME="), "/root"},
		{"another user", user(1000), "/home/sailor"},
		{"a user that is not there", user(4711), "/"},
		{"a volume over /etc", mount("/etc", passwdVolume, "bind"), "/of-volume"},
		{"a file over passwd", mount(passwd, file, "bind"), "/of-volume"},
		{"an empty tmpfs over /etc", func(b *harness.Box) { harness.WithMount("/etc", "tmpfs", "tmpfs")(b.Spec) }, "/"},
		{"a link into a volume", both(passwdLink("/mnt/passwd"), mount("/mnt", passwdVolume, "bind")), "/of-volume"},
		{"a link that climbs", both(passwdLink("../../../mnt/passwd"), mount("/mnt", passwdVolume, "bind")), "/of-volume"},
		{"a volume by a link", func(b *harness.Box) {
			must(b.T, os.Symlink("etc", filepath.Join(b.Rootfs, "settings")))
			mount("/settings", passwdVolume, "bind")(b)
		}, "/of-volume"},
		{"a user namespace", func(b *harness.Box) {
			withUser(shifted())(b.Spec)
			own(b.T, b, 100000)
		}, "/root"},
		{"a user namespace and a volume", func(b *harness.Box) {
			withUser(shifted())(b.Spec)
			own(b.T, b, 100000)
			mount("/etc", passwdVolume, "bind")(b)
		}, "/of-volume"},
		{"an ordinary user", func(b *harness.Box) { asOrdinary(b.T, b) }, "/root"},
		{"no mount namespace", func(b *harness.Box) {
			harness.WithoutNamespace(specs.MountNamespace)(b.Spec)
			b.Spec.Mounts, b.Spec.Linux.MaskedPaths, b.Spec.Linux.ReadonlyPaths, b.Spec.Root.Readonly = nil, nil, nil, false
		}, "/root"},

		{"no passwd", func(b *harness.Box) { must(b.T, os.Remove(filepath.Join(b.Rootfs, passwd))) }, "/"},
		{"no home in it", passwdText("root:x:0:0:::/bin/sh\n"), "/"},
		{"too few fields", passwdText("root:x:0\n"), "/"},
		{"a line before it is broken", passwdText("broken:x:4\nroot:x:0:0::/home/root:/bin/sh\n"), "/home/root"},
		{"the first of two counts", passwdText("a:x:0:0::/a:/bin/sh\nb:x:0:0::/b:/bin/sh\n"), "/a"},
		{"a NUL in it", passwdText("root:x:0:0::/a\x00b:/bin/sh\n"), "/"},
		{"longer than a path", passwdText("root:x:0:0::" + strings.Repeat("/x", 2048) + ":/bin/sh\n"), "/"},
		{"a directory", func(b *harness.Box) {
			replacePasswd(b, func(path string) error { return os.Mkdir(path, 0o755) })
		}, "/"},
		{"a fifo", func(b *harness.Box) {
			replacePasswd(b, func(path string) error { return unix.Mkfifo(path, 0o644) })
		}, "/"},
		{"a device", passwdLink("/dev/zero"), "/"},
		{"a file of procfs that waits", passwdLink("/proc/kmsg"), "/"},
		{"a link to itself", passwdLink("passwd"), "/"},
		{"a magic link", passwdLink("/proc/self/root/etc/group"), "/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			harness.OrlopOnly(t, "others differ in odd passwds")
			b := harness.New(t)
			tc.change(b)
			b.Write()
			if got := b.Sh("echo $HOME"); got != tc.want+"\n" {
				t.Errorf("run: got %q, want %q", got, tc.want)
			}
			b.Up()
			if got := b.OK("exec", b.ID, "sh", "-c", "echo $HOME"); got != tc.want+"\n" {
				t.Errorf("exec: got %q, want %q", got, tc.want)
			}
			if strings.HasPrefix(tc.name, "given") {
				return
			}
			if got := b.OK("exec", "-e", "HOME=", b.ID, "sh", "-c", "echo $HOME"); got != tc.want+"\n" {
				t.Errorf("exec -e HOME=: got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestHomeLater: exec uses the passwd of the time of its own start.
func TestHomeLater(t *testing.T) {
	b := harness.New(t, harness.Writable)
	b.Up()
	b.OK("exec", b.ID, "sh", "-c", "echo root:x:0:0::/changed:/bin/sh > /etc/passwd")
	if got := b.OK("exec", b.ID, "sh", "-c", "echo $HOME"); got != "/changed\n" {
		t.Errorf("got %q", got)
	}
}

// TestEnvironmentOnce: of several variables of one name a program only gets the last one, however
// it is started.
func TestEnvironmentOnce(t *testing.T) {
	needBusybox(t)
	twice := []string{"PATH=/nowhere", "A=1", "B=2", "A=", "PATH=/bin:/usr/bin", "A=3"}
	// The shell's own environment, not what it makes of that. Its own $$ has no meaning in the
	// host's procfs, which a createContainer hook sees.
	const script = "me=$(sed -n 's/^PPid:\t//p' /proc/self/status); tr '\\0' '\\n' < /proc/$me/environ | grep -e ^A -e ^B -e ^P"
	const want = "B=2\nPATH=/bin:/usr/bin\nA=3\n"
	b := harness.New(t)
	b.Spec.Process.Env = append(twice, "HOME=/")
	if got := b.Sh(script); got != want {
		t.Errorf("run: got %q, want %q", got, want)
	}
	b.Up()
	if got := b.OK("exec", b.ID, "sh", "-c", script); got != want {
		t.Errorf("exec: got %q, want %q", got, want)
	}
	if got := b.OK("exec", "-e", "A=4", "-e", "B=5", "-e", "A=6", b.ID, "sh", "-c", script); got != "PATH=/bin:/usr/bin\nB=5\nA=6\n" {
		t.Errorf("exec -e: got %q", got)
	}
	file := execFile(t, b, func(p *specs.Process) { p.Args = []string{"sh", "-c", script} })
	if got := b.OK("exec", "--process", file, b.ID); got != want {
		t.Errorf("exec --process: got %q, want %q", got, want)
	}
	b.Fails("must be name=value", "exec", "-e", "NAME", b.ID, "true")
	b.OK("delete", "--force", b.ID)
	for _, kind := range hookKinds() {
		b := harness.New(t)
		log := logged(b)
		addHook(b, kind, "cat > /dev/null; "+script+" > "+log)
		(*hookList(b.Spec.Hooks, kind))[0].Env = twice
		b.Write()
		b.OK("run", "--bundle", b.Bundle, b.ID)
		if got := read(t, log); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
}
