package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// stickyMount mounts a filesystem (fuse(4)) without a server on /mnt of a container: a process that
// looks up a file there blocks until it is killed. With answering, the requests are read and never
// answered, and then not even a kill helps. release ends all waits.
func stickyMount(t *testing.T, b *harness.Box, pid int, answering bool) (taken <-chan struct{}, release func()) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no FUSE here: ", err)
	}
	device := os.NewFile(uintptr(fd), "/dev/fuse")
	release = func() { device.Close() }
	t.Cleanup(release)
	mounted := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread exits with the goroutine
		mounted <- func() error {
			ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
				return err
			}
			return unix.Mount("sticky", "/mnt", "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd))
		}()
	}()
	must(t, <-mounted)
	took := make(chan struct{})
	if answering {
		go func() {
			// The first request is FUSE_INIT. Its answer is a header, and the start of
			// fuse_init_out: the version.
			request := make([]byte, 1<<17)
			if _, err := unix.Read(fd, request); err != nil {
				return
			}
			answer := make([]byte, 80)
			binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
			copy(answer[8:16], request[8:16])
			binary.NativeEndian.PutUint32(answer[16:], 7)
			binary.NativeEndian.PutUint32(answer[20:], 31)
			binary.NativeEndian.PutUint32(answer[36:], 4096)
			if _, err := unix.Write(fd, answer); err != nil {
				return
			}
			if _, err := unix.Read(fd, request); err == nil {
				close(took)
			}
		}()
	}
	return took, release
}

// waitsIn waits until a child of a process waits in a function of the kernel whose name contains
// part.
func waitsIn(t *testing.T, parent int, part string) {
	t.Helper()
	// No event reports that.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(parent) + "/task/*/children")
		for _, task := range tasks {
			data, _ := os.ReadFile(task)
			for _, child := range strings.Fields(string(data)) {
				if wchan, _ := os.ReadFile("/proc/" + child + "/wchan"); strings.Contains(string(wchan), part) {
					return
				}
			}
		}
	}
	t.Fatalf("process %d has no child that waits in %s", parent, part)
}

// TestExecThatHangs: an exec whose process does not reach its program blocks no other command, and
// ends at its timeout.
func TestExecThatHangs(t *testing.T) {
	harness.OrlopOnly(t, "others have no limit")
	b := harness.New(t, harness.Writable)
	pid := b.Up()
	stickyMount(t, b, pid, false)
	exec := func() *harness.Process {
		p := b.Cmd("exec", "--cwd", "/mnt/x", b.ID, "true").Start()
		waitsIn(t, p.Pid, "fuse")
		return p
	}
	alone := exec()
	quick(b, "exec", b.ID, "true").OK(b)
	quick(b, "update", "--pids-limit", "100", b.ID).OK(b)
	quick(b, "state", b.ID).OK(b)
	quick(b, "ps", b.ID).OK(b)
	alone.Wait().Fails(b, "the process did not go on within 30s: process ")
	second := exec()
	quick(b, "delete", "--force", b.ID).OK(b)
	// By the signal, or by the container's end, whichever is noticed first.
	if r := second.Wait(); r.Status != 137 {
		r.Fails(b, "container not running")
	}
	b.CheckClean()
}

// TestUnkillable: a command waits ten seconds for a process that cannot exit, and names it. The
// error is recognizable as a timeout.
func TestUnkillable(t *testing.T) {
	harness.OrlopOnly(t, "others wait without end")
	b := harness.New(t, harness.Writable)
	pid := b.Up()
	taken, release := stickyMount(t, b, pid, true)
	b.OK("exec", "--detach", b.ID, "ls", "/mnt/x")
	<-taken
	b.Global = []string{"--log-format", "json"}
	const late = `"code":"timeout"`
	quick(b, "pause", b.ID).Fails(b, "(ls) is in an uninterruptible sleep (D), waits in the kernel's ").Fails(b, late)
	b.Status("running")
	quick(b, "kill", b.ID, "KILL").OK(b)
	for range 2 {
		quick(b, "delete", "--force", b.ID).Fails(b, "killed, and has not ended within 10s: process ").
			Fails(b, "(ls) is in an uninterruptible sleep (D), waits in the kernel's ").Fails(b, late)
	}
	release()
	quick(b, "delete", "--force", b.ID).OK(b)
	b.CheckClean()
}

// TestFrozenByOthers: nothing here thaws a frozen cgroup above the container's.
func TestFrozenByOthers(t *testing.T) {
	harness.OrlopOnly(t, "others wait without end")
	b := harness.New(t)
	b.Cgroup = filepath.Join(b.Cgroup, "below")
	b.Spec.Linux.CgroupsPath = b.Cgroup
	b.Write()
	pid := b.Up()
	freezer, ok := cgroupDirectories(t, pid)["freezer"]
	if !ok {
		t.Skip("v1 only: a frozen cgroup2 lets its processes die")
	}
	above := filepath.Dir(freezer)
	must(t, os.WriteFile(above+"/freezer.state", []byte("FROZEN"), 0))
	b.After(func() { os.WriteFile(above+"/freezer.state", []byte("THAWED"), 0) })
	quick(b, "delete", "--force", b.ID).Fails(b, "killed, and has not ended within 10s: process ").
		Fails(b, "frozen by cgroup "+above)
	must(t, os.WriteFile(above+"/freezer.state", []byte("THAWED"), 0))
	quick(b, "delete", "--force", b.ID).OK(b)
}

// TestFrozenByItself: a process that has frozen itself, in a cgroup below the container's, can be
// killed and deleted.
func TestFrozenByItself(t *testing.T) {
	harness.OrlopOnly(t, "others wait without end")
	for name, command := range map[string]func(id string) []string{
		"kill":   func(id string) []string { return []string{"kill", id, "KILL"} },
		"delete": func(id string) []string { return []string{"delete", "--force", id} },
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t)
			pid := b.Up()
			freezer, ok := cgroupDirectories(t, pid)["freezer"]
			if !ok {
				t.Skip("v1 only: a frozen cgroup2 lets its processes die")
			}
			sub := filepath.Join(freezer, "a", "b")
			must(t, os.MkdirAll(sub, 0o755))
			must(t, os.WriteFile(sub+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0))
			must(t, os.WriteFile(filepath.Dir(sub)+"/freezer.state", []byte("FROZEN"), 0))
			quick(b, command(b.ID)...).OK(b)
			b.WaitGone(pid)
			quick(b, "delete", "--force", b.ID).OK(b)
			b.CheckClean()
		})
	}
}

// TestHostilePasswd: a file that an image or a container has in place of /etc/passwd, which is read
// for HOME, blocks nobody.
func TestHostilePasswd(t *testing.T) {
	harness.OrlopOnly(t, "others read it")
	for name, replace := range map[string]func(b *harness.Box, path string) error{
		"link to kmsg": func(_ *harness.Box, path string) error { return os.Symlink("/proc/kmsg", path) },
		"fifo":         func(_ *harness.Box, path string) error { return unix.Mkfifo(path, 0o644) },
		"lease": func(b *harness.Box, path string) error {
			f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
			if err != nil {
				return err
			}
			b.After(func() { f.Close() })
			signal.Ignore(unix.SIGIO) // requests the release of the lease
			_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
			return err
		},
	} {
		for _, command := range []string{"create", "exec"} {
			t.Run(name+" "+command, func(t *testing.T) {
				b := harness.New(t)
				passwd := filepath.Join(b.Rootfs, "etc/passwd")
				spoil := func() {
					must(t, os.Remove(passwd))
					must(t, replace(b, passwd))
				}
				if command == "create" {
					spoil()
					r := b.Cmd("run", "--bundle", b.Bundle, b.ID)
					r.Limit = atOnce
					b.Spec.Process.Args = []string{"sh", "-c", "echo $HOME"}
					b.Write()
					if out := r.Run().OK(b); out != "/\n" {
						t.Errorf("HOME is %q", out)
					}
					return
				}
				b.Up()
				spoil()
				if out := quick(b, "exec", b.ID, "sh", "-c", "echo $HOME").OK(b); out != "/\n" {
					t.Errorf("HOME is %q", out)
				}
			})
		}
	}
}

// TestFifoOverAccounts: a named pipe that a mount of the configuration puts in place of a file of
// accounts blocks nobody.
func TestFifoOverAccounts(t *testing.T) {
	harness.OrlopOnly(t, "others read it")
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		t.Run(file, func(t *testing.T) {
			b := harness.New(t)
			fifo := filepath.Join(b.Dir, "fifo")
			must(t, unix.Mkfifo(fifo, 0o644))
			harness.WithMount(file, "bind", fifo, "bind")(b.Spec)
			want := map[string]string{"/etc/passwd": "/\n", "/etc/group": "/root\n"}[file]
			b.Spec.Process.Args = []string{"sh", "-c", "echo $HOME"}
			b.Write()
			if out := quick(b, "run", "--bundle", b.Bundle, b.ID).OK(b); out != want {
				t.Errorf("run: HOME is %q", out)
			}
			b.Up()
			if out := quick(b, "exec", b.ID, "sh", "-c", "echo $HOME").OK(b); out != want {
				t.Errorf("exec: HOME is %q", out)
			}
			quick(b, "exec", "--user", "7:8", "--additional-gids", "9", b.ID, "true").OK(b)
		})
	}
}

// TestHookThatCannotEnd: a command waits ten seconds for a killed hook that does not exit, and
// names it.
func TestHookThatCannotEnd(t *testing.T) {
	harness.OrlopOnly(t, "others wait without end")
	needBusybox(t)
	own, ok := cgroupDirectories(t, os.Getpid())["freezer"]
	if !ok {
		t.Skip("v1 only: a frozen cgroup2 lets its processes die")
	}
	b := harness.New(t)
	frozen := filepath.Join(own, b.ID)
	must(t, os.Mkdir(frozen, 0o755))
	thaw := func() { os.WriteFile(frozen+"/freezer.state", []byte("THAWED"), 0) }
	t.Cleanup(func() { thaw(); os.Remove(frozen) })
	addHook(b, "createRuntime", "echo $$ > "+frozen+"/cgroup.procs; echo FROZEN > "+frozen+"/freezer.state; exec sleep 1000")
	limit := 1
	b.Spec.Hooks.CreateRuntime[0].Timeout = &limit
	b.Write()
	quick(b, "create", "--bundle", b.Bundle, b.ID).
		Fails(b, "hooks.createRuntime[0] /bin/busybox: timed out after 1 s; killed, and has not ended within 10s: process ")
	hook, err := strconv.Atoi(strings.TrimSpace(read(t, frozen+"/cgroup.procs")))
	must(t, err)
	thaw()
	b.WaitGone(hook)
	b.CheckClean()
}
