package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// openFiles makes n files, with their number as content.
func openFiles(t *testing.T, b *harness.Box, n int) []*os.File {
	t.Helper()
	var files []*os.File
	for i := range n {
		path := filepath.Join(b.Dir, "file"+strconv.Itoa(i))
		if err := os.WriteFile(path, []byte("file "+strconv.Itoa(i)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}

// descriptors is a script that lists the shell's own open descriptors. The shell may have one of
// its own from 10 on; the script opens none itself.
const descriptors = "for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo -n \"$n \"; done; true"

// TestDescriptors: only 0-2 and the requested ones reach the process.
func TestDescriptors(t *testing.T) {
	cases := []struct {
		name  string
		flags []string
		env   []string
		want  string
	}{
		{"none", nil, nil, "0 1 2"},
		{"two preserved", []string{"--preserve-fds", "2"}, nil, "0 1 2 3 4"},
	}
	for _, tc := range cases {
		t.Run("run "+tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Sh(descriptors))
			c := b.Cmd(append(append([]string{"run", "--bundle", b.Bundle}, tc.flags...), b.ID)...)
			c.Files, c.Env = openFiles(t, b, 5), tc.env
			if got := strings.TrimSpace(c.Run().OK(b)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
		t.Run("exec "+tc.name, func(t *testing.T) {
			b := harness.New(t)
			b.Up()
			c := b.Cmd(append(append([]string{"exec"}, tc.flags...), b.ID, "sh", "-c", descriptors)...)
			c.Files, c.Env = openFiles(t, b, 5), tc.env
			if got := strings.TrimSpace(c.Run().OK(b)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPreserveFdsContent(t *testing.T) {
	b := harness.New(t, harness.Sh("cat <&3; cat <&4"))
	c := b.Cmd("run", "--preserve-fds", "2", "--bundle", b.Bundle, b.ID)
	c.Files = openFiles(t, b, 2)
	if got := c.Run().OK(b); got != "file 0\nfile 1\n" {
		t.Errorf("got %q", got)
	}
}

// TestPreserveFdsAbsent: a descriptor that isn't open is an error, not a hole.
func TestPreserveFdsAbsent(t *testing.T) {
	harness.OrlopOnly(t, "runc passes descriptors of its own instead")
	b := harness.New(t)
	c := b.Cmd("run", "--preserve-fds", "3", "--bundle", b.Bundle, b.ID)
	c.Files = openFiles(t, b, 1)
	c.Run().Fails(b, "")
	b.CheckClean()
}

// TestListenFds: systemd's socket activation is passed on, with the process's own PID, which is not
// known beforehand in a shared PID namespace.
func TestListenFds(t *testing.T) {
	pod := harness.New(t)
	joined := "/proc/" + strconv.Itoa(pod.Up()) + "/ns/pid"
	cases := []struct {
		name   string
		change func(*specs.Spec)
	}{
		{"own PID namespace", nop},
		{"the host's", harness.WithoutNamespace("pid")},
		{"joined", harness.WithNamespace("pid", joined)},
		{"joined, by its own child", func(s *specs.Spec) {
			harness.WithNamespace("pid", joined)(s)
			harness.WithNamespace("time", "")(s)
		}},
		{"in a user namespace", func(s *specs.Spec) {
			withUser(shifted())(s)
			harness.WithNamespace("time", "")(s)
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name != "own PID namespace" {
				harness.OrlopOnly(t, "runc takes the number for 1")
			}
			b := harness.New(t, tc.change, harness.Sh("echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES $$; cat <&3; cat <&4; cat <&5"))
			own(t, b, 100000)
			b.Spec.Process.Env = append(b.Spec.Process.Env, "LISTEN_PID=0", "LISTEN_FDNAMES=old")
			b.Write()
			c := b.Cmd("run", "--preserve-fds", "1", "--bundle", b.Bundle, b.ID)
			c.Files = openFiles(t, b, 3)
			// LISTEN_PID is the PID of the activated process: the runtime. The shell's own PID is
			// the runtime's after exec.
			c.Env = []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=web:tls"}
			c.Wrap = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}
			got := c.Run().OK(b)
			line, rest, _ := strings.Cut(got, "\n")
			words := strings.Fields(line)
			if len(words) != 4 || words[0] != "2" || words[1] != words[3] || words[2] != "web:tls" || rest != "file 0\nfile 1\nfile 2\n" {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("not for exec", func(t *testing.T) {
		b := harness.New(t, harness.WithoutNamespace("pid"), harness.Args("sleep", "1000"))
		c := b.Cmd("create", "--bundle", b.Bundle, b.ID)
		c.Files, c.Env = openFiles(t, b, 1), []string{"LISTEN_FDS=1"}
		c.Wrap = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}
		c.Run().OK(b)
		if got := b.OK("exec", b.ID, "sh", "-c", "echo $LISTEN_FDS$LISTEN_PID"); got != "\n" {
			t.Errorf("got %q", got)
		}
	})
}

// TestNoHostDescriptors: no descriptor of a created, a started or an exec'd process leads to the
// host, except for the standard streams that it was given.
func TestNoHostDescriptors(t *testing.T) {
	b := harness.New(t)
	pid := b.Up()
	check := func(pid int) {
		t.Helper()
		directory := "/proc/" + strconv.Itoa(pid) + "/fd"
		entries, err := os.ReadDir(directory)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if n, _ := strconv.Atoi(entry.Name()); n > 2 {
				if path, err := os.Readlink(filepath.Join(directory, entry.Name())); err == nil && !strings.HasPrefix(path, "/dev/") {
					t.Errorf("descriptor %d of process %d leads to %s", n, pid, path)
				}
			}
		}
	}
	check(pid)
	pidFile := filepath.Join(b.Dir, "pid")
	b.OK("exec", "--detach", "--pid-file", pidFile, b.ID, "sleep", "1000")
	second, err := strconv.Atoi(read(t, pidFile))
	if err != nil {
		t.Fatal(err)
	}
	check(second)
}

// TestPidFile: digits only, written atomically.
func TestPidFile(t *testing.T) {
	b := harness.New(t)
	path := filepath.Join(b.Dir, "pid")
	b.Create("--pid-file", path)
	if got, want := read(t, path), strconv.Itoa(b.State().Pid); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Run("not to be written", func(t *testing.T) {
		harness.OrlopOnly(t, "runc leaves its process behind")
		b := harness.New(t)
		b.Fails("", "create", "--bundle", b.Bundle, "--pid-file", "/no/such/directory/pid", b.ID)
		b.CheckClean()
	})
	t.Run("of a process that ended with the command", func(t *testing.T) {
		b := harness.New(t, harness.Args("nosuch"))
		path := filepath.Join(b.Dir, "pid")
		if b.Do("run", "--detach", "--bundle", b.Bundle, "--pid-file", path, b.ID).Status == 0 {
			// As under runc: then the container exists, although it has exited.
			return
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the pid file is left: %v", err)
		}
	})
}

// TestPidfdSocket: a descriptor of the first process arrives before create returns.
func TestPidfdSocket(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.2")
	b := harness.New(t)
	path, received := receiver(t, b)
	b.Create("--pidfd-socket", path)
	pid := b.State().Pid
	pidfd := <-received
	if pidfd == nil {
		t.Fatal("nothing arrived")
	}
	defer pidfd.Close()
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	if status := b.WaitStatus(pid); status != 137 {
		t.Errorf("status %d, want 137", status)
	}
}
