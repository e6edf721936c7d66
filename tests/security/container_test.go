package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// Attacks from inside a running container, and through what it lacks.

// TestCVE2016_3697_NumericName: the image's passwd has a user whose name is a number.
func TestCVE2016_3697_NumericName(t *testing.T) {
	b := harness.New(t)
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "etc", "passwd"), []byte("1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n"), 0o644))
	b.Up()
	attempts(t, 1, func(int) {
		if got := b.OK("exec", "--user", "1000", b.ID, "id", "-u"); got != "1000\n" {
			t.Errorf("user %q", got)
		}
	})
}

// TestCVE2016_9962_Watcher: a process of the container inspects every other one, above all those
// that the runtime starts there, for a descriptor, a root or a working directory that leads out.
func TestCVE2016_9962_Watcher(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	b := harness.New(t, harness.Writable, harness.Caps("CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"))
	out, check := outside(t, b)
	marker := filepath.Join(out, "file")
	b.Up()
	stop := watch(t, b, "exec", b.ID, "sh", "-c", `echo ready
while [ ! -e /stop ]; do for p in /proc/[0-9]*; do
	for d in root cwd fd/3 fd/4 fd/5 fd/6 fd/7 fd/8 fd/9; do
		[ -e "$p/$d`+marker+`" ] && echo "$p/$d leads out" && echo hacked > "$p/$d`+marker+`"
	done
done; done 2>/dev/null; true`)
	tries := 200
	if testing.Short() {
		tries = 20
	}
	directories := openDirectories(t, 3) // a careless caller's
	attempts(t, tries, func(int) {
		exec := b.Cmd("exec", b.ID, "true")
		exec.Files = directories
		exec.Run().OK(b)
	})
	for _, line := range stop() {
		t.Errorf("seen: %s", line)
	}
	check()

	// Positive control: a descriptor that is passed on purpose is found in the same way.
	passed := b.Cmd("exec", "--preserve-fds", "1", b.ID, "sh", "-c", "[ -e /proc/self/fd/3"+marker+" ] && echo seen")
	passed.Files = openDirectories(t, 1)
	if r := passed.Run(); r.Stdout != "seen\n" {
		t.Errorf("the control saw %q: %s", r.Stdout, r.Stderr)
	}
}

// watch starts a command that reports that it is ready, and then searches the container until the
// file /stop exists. stop creates that, and returns the lines that the command has written.
func watch(t *testing.T, b *harness.Box, args ...string) (stop func() []string) {
	t.Helper()
	lines := b.Lines()
	c := b.Cmd(args...)
	c.Stdout, c.Limit = lines.Writer, time.Hour
	watcher := c.Start()
	lines.Writer.Close()
	if line := lines.Next(); line != "ready" {
		t.Fatalf("got %q", line)
	}
	return func() (seen []string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(b.Rootfs, "stop"), nil, 0o644))
		watcher.Wait().OK(b)
		for line, ok := lines.More(); ok; line, ok = lines.More() {
			seen = append(seen, line)
		}
		return seen
	}
}

// TestCVE2023_25809_Cgroups: with a user namespace and no cgroup namespace, the read-only mount of
// the cgroups is read-only.
func TestCVE2023_25809_Cgroups(t *testing.T) {
	b := harness.New(t, harness.WithoutNamespace("cgroup"))
	shift(t, b)
	attempts(t, 1, func(int) {
		got := b.Sh(`n=0; for d in $(find /sys/fs/cgroup -maxdepth 2 -type d); do mkdir $d/made 2>/dev/null && echo "made in $d"; n=$((n+1)); done
for f in $(find /sys/fs/cgroup -maxdepth 2 -name 'cgroup.procs' -o -maxdepth 2 -name release_agent); do (echo 1 > $f) 2>/dev/null && echo "written: $f"; done
[ $n -gt 0 ] && echo looked`)
		if got != "looked\n" {
			t.Errorf("got %q", got)
		}
	})
}

// TestDevicesByDefault: an empty list of rules denies all but the default devices.
func TestDevicesByDefault(t *testing.T) {
	b := harness.New(t, harness.Caps("CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"))
	b.Spec.Linux.Resources = &specs.LinuxResources{}
	attempts(t, 1, func(int) {
		got := b.Sh(`cd /dev/shm; mount -o remount,dev /dev/shm
for d in "b 1 0" "b 253 0" "b 7 0" "c 10 229" "c 1 1" "c 1 11" "c 5 1" "c 1 3" "c 1 5" "c 1 9"; do rm -f n; mknod n $d 2>/dev/null
	if (head -c 0 n) 2>/dev/null; then echo "$d opens"; fi; done`)
		if want := "c 1 3 opens\nc 1 5 opens\nc 1 9 opens\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestExhausted: a container that has used up its processes, its memory and its disk can still be
// inspected, killed and deleted.
func TestExhausted(t *testing.T) {
	pids, memory := int64(5), int64(8<<20)
	b := harness.New(t, harness.WithMount("/full", "tmpfs", "tmpfs", "size=64k"))
	b.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	b.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory}
	b.Spec.Process.Args = []string{"sh", "-c", `cat /dev/zero > /full/f 2>/dev/null; (while sleep 1000 & do :; done) 2>/dev/null; echo full; exec sleep 1000`}
	b.Write()
	attempts(t, 1, func(int) {
		lines := b.Create()
		b.OK("start", b.ID)
		for line, ok := lines.More(); ok && line != "full"; line, ok = lines.More() {
			if !strings.Contains(line, "fork") {
				t.Fatalf("it says %q", line)
			}
		}
		b.Status("running")
		b.OK("kill", b.ID, "KILL")
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
	})
}
