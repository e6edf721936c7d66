package nsenter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

func start(t *testing.T, p *Program, s Start) *Process {
	t.Helper()
	return startIn(t, p, s, -1)
}

func startIn(t *testing.T, p *Program, s Start, cgroup int) *Process {
	t.Helper()
	l, err := Prepare(p, s)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	proc, err := l.Start(cgroup)
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs privileges: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		proc.Kill() // returns an error if the test waited for it, which is fine
		proc.Close()
	})
	return proc
}

// rendezvous waits until the process reaches its rendezvous.
func rendezvous(t *testing.T, c *Conn, id int) {
	t.Helper()
	if m, err := c.Next(); err != nil || m.ID != id {
		t.Fatalf("got %+v, %v; want rendezvous %d", m, err, id)
	}
}

func wantStatus(t *testing.T, proc *Process, want int) {
	t.Helper()
	if status, err := proc.Wait(); err != nil || status.ExitStatus() != want {
		t.Errorf("status %#x, %v; want exit %d", uint32(status), err, want)
	}
}

func wantEOF(t *testing.T, c *Conn) {
	t.Helper()
	if m, err := c.Next(); err != io.EOF {
		t.Errorf("got %+v, %v; want the end", m, err)
	}
}

func wantFailure(t *testing.T, c *Conn, op int, errno unix.Errno) {
	t.Helper()
	_, err := c.Next()
	var f *Failure
	if !errors.As(err, &f) || f.Op != op || !errors.Is(err, errno) {
		t.Errorf("got %v, want a failure of operation %d: %v", err, op, errno)
	}
}

// descriptorsOf lists a process's open descriptors.
func descriptorsOf(t *testing.T, pid int) map[int]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := map[int]string{}
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		if open[n], err = os.Readlink(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return open
}

func temporaryFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestExec(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := NewProgram()
	p.Call(unix.SYS_CLOSE_RANGE, FirstOwn, Int(1<<32-1), Int(unix.CLOSE_RANGE_CLOEXEC))
	p.Rendezvous(7)
	p.Call(unix.SYS_EXECVE, p.String("/bin/sh"), p.Strings([]string{"sh", "-c", "echo $A $0; exit 3"}), p.Strings([]string{"A=b"}))
	proc := start(t, p, Start{Stdout: w})
	w.Close()
	rendezvous(t, proc.Conn, 7)
	exe, err := os.Readlink("/proc/" + strconv.Itoa(proc.Pid) + "/exe")
	if err != nil || exe != "/memfd:orlop (deleted)" {
		t.Errorf("exe is %q, %v", exe, err)
	}
	if err := proc.Conn.Resume(); err != nil {
		t.Fatal(err)
	}
	wantEOF(t, proc.Conn)
	out, _ := io.ReadAll(r)
	if string(out) != "b sh\n" {
		t.Errorf("output %q", out)
	}
	wantStatus(t, proc, 3)
}

func TestFailure(t *testing.T) {
	p := NewProgram()
	p.Step(4)
	p.Call(unix.SYS_CHDIR, p.String("/nowhere")).Ignore(unix.ENOENT)
	p.Step(5)
	p.Call(unix.SYS_CHDIR, p.String("/nowhere")).Ignore(unix.EACCES, unix.EPERM)
	proc := start(t, p, Start{})
	wantFailure(t, proc.Conn, 1, unix.ENOENT)
	if step := p.Ops()[1].Step; step != 5 {
		t.Errorf("step %d", step)
	}
	wantStatus(t, proc, ExitFailed)
}

func TestDescriptors(t *testing.T) {
	file := temporaryFile(t)
	// The shell execs cat, which blocks until its input ends.
	input, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	p := NewProgram()
	p.Rendezvous(1)
	p.Call(unix.SYS_CLOSE_RANGE, FirstOwn, Int(1<<32-1), Int(unix.CLOSE_RANGE_CLOEXEC))
	p.Call(unix.SYS_FCNTL, FD("one"), Int(unix.F_GETFL))
	p.Call(unix.SYS_EXECVE, p.String("/bin/sh"), p.Strings([]string{"sh", "-c", "exec cat"}),
		p.Strings([]string{"PATH=" + os.Getenv("PATH")}))
	proc := start(t, p, Start{
		Stdin:   input,
		Inherit: []*os.File{file, nil, nil, file},
		Files:   []NamedFile{{"one", file}, {"two", file}},
	})
	input.Close()
	rendezvous(t, proc.Conn, 1)
	open := descriptorsOf(t, proc.Pid)
	for fd, want := range map[int]string{1: os.DevNull, 2: os.DevNull, 3: file.Name(), 6: file.Name(),
		8: file.Name(), 9: file.Name(), 10: "/memfd:orlop (deleted)"} {
		if open[fd] != want {
			t.Errorf("descriptor %d is %q, want %q", fd, open[fd], want)
		}
	}
	// Higher ones may be those that the test itself inherited.
	for _, fd := range []int{4, 5} {
		if open[fd] != "" {
			t.Errorf("descriptor %d, which is a gap, is %q", fd, open[fd])
		}
	}
	if err := proc.Conn.Resume(); err != nil {
		t.Fatal(err)
	}
	wantEOF(t, proc.Conn)
	want := map[int]string{1: os.DevNull, 2: os.DevNull, 3: file.Name(), 6: file.Name()}
	// The loader of the shell, and of cat, opens libraries for a moment.
	for end := time.Now().Add(hang.Limit); ; time.Sleep(time.Millisecond) {
		open = descriptorsOf(t, proc.Pid)
		delete(open, 0)
		if fmt.Sprint(open) == fmt.Sprint(want) || time.Now().After(end) {
			break
		}
	}
	if fmt.Sprint(open) != fmt.Sprint(want) {
		t.Errorf("after the exec these are open: %v, want %v", open, want)
	}
	release.Close()
	wantStatus(t, proc, 0)
}

// TestGive: a file that is passed after the image was made has the number that the program knows.
func TestGive(t *testing.T) {
	first, second := temporaryFile(t), temporaryFile(t)
	p := NewProgram()
	p.Call(unix.SYS_WRITE, FD("late"), p.String("now"), Int(3))
	l, err := Prepare(p, Start{Files: []NamedFile{{"first", first}, {"late", nil}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Start(-1); err == nil {
		t.Error("started without the file: no error")
	}
	closedFile := temporaryFile(t)
	closedFile.Close()
	for name, f := range map[string]*os.File{"first": second, "unknown": second, "late": closedFile} {
		if err := l.Give(name, f); err == nil {
			t.Errorf("give %q %s: no error", name, f.Name())
		}
	}
	if err := l.Give("late", nil); err == nil {
		t.Error("give nothing: no error")
	}
	if err := l.Give("late", second); err != nil {
		t.Fatal(err)
	}
	if err := l.Give("late", second); err == nil {
		t.Error("given twice: no error")
	}
	proc, err := l.Start(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	wantEOF(t, proc.Conn)
	wantStatus(t, proc, ExitFailed) // the program ends without an exec
	for f, want := range map[*os.File]string{first: "", second: "now"} {
		if got, err := os.ReadFile(f.Name()); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v, want %q", f.Name(), got, err, want)
		}
	}
}

func TestManyDescriptors(t *testing.T) {
	s := Start{Inherit: make([]*os.File, 150)}
	for i := range 100 {
		f, err := memfd([]byte{byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s.Inherit[i] = f
		s.Files = append(s.Files, NamedFile{strconv.Itoa(i), f})
	}
	out := temporaryFile(t)
	s.Files = append(s.Files, NamedFile{"out", out})
	p := NewProgram()
	buf := p.Bytes(make([]byte, 200))
	for i := range 100 {
		p.Call(unix.SYS_PREAD64, FD(strconv.Itoa(i)), buf+Addr(i), Int(1), Int(0))
		p.Call(unix.SYS_PREAD64, Int(3+i), buf+100+Addr(i), Int(1), Int(0))
	}
	p.Call(unix.SYS_WRITE, FD("out"), buf, Int(200))
	proc := start(t, p, s)
	wantEOF(t, proc.Conn)
	wantStatus(t, proc, ExitFailed)
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 200)
	for i := range want {
		want[i] = byte(i % 100)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("read %v", got)
	}
}

func TestNamespaces(t *testing.T) {
	p := NewProgram()
	p.Rendezvous(1)
	proc := start(t, p, Start{Cloneflags: namespaceFlags &^ unix.CLONE_NEWUSER})
	rendezvous(t, proc.Conn, 1)
	for _, name := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"} {
		ours, err := os.Readlink("/proc/self/ns/" + name)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", proc.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		if (ours != theirs) != (name != "user") {
			t.Errorf("namespace %s is %s, the starter's %s", name, theirs, ours)
		}
	}
}

func TestCgroup(t *testing.T) {
	mounts := []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}
	i := slices.IndexFunc(mounts, func(dir string) bool {
		var fs unix.Statfs_t
		return unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
	})
	if i < 0 {
		t.Skip("cgroup2 is mounted at none of ", mounts)
	}
	mount := mounts[i]
	name := "orlop-nsenter-test-" + strconv.Itoa(os.Getpid())
	dir := filepath.Join(mount, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("no cgroup can be made: ", err)
	}
	t.Cleanup(func() { // after the process has been waited for
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := NewProgram()
	p.Rendezvous(1)
	proc := startIn(t, p, Start{}, fd)
	rendezvous(t, proc.Conn, 1)
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", proc.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(strings.Split(string(groups), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "0::") && strings.HasSuffix(line, "/"+name)
	}) {
		t.Errorf("the process is in\n%s", groups)
	}
	if err := proc.Kill(); err != nil {
		t.Error(err)
	}
}

func TestPidfd(t *testing.T) {
	p := NewProgram()
	p.Rendezvous(1)
	proc := start(t, p, Start{})
	rendezvous(t, proc.Conn, 1)
	flags, err := unix.FcntlInt(proc.Pidfd.Fd(), unix.F_GETFD, 0)
	if err != nil || flags != unix.FD_CLOEXEC {
		t.Errorf("the pidfd's flags are %#x, %v", flags, err)
	}
	if err := unix.PidfdSendSignal(int(proc.Pidfd.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	wantEOF(t, proc.Conn)
	poll := []unix.PollFd{{Fd: int32(proc.Pidfd.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, int(hang.Limit.Milliseconds())); err != nil || n != 1 {
		t.Errorf("poll on the pidfd: %d, %v", n, err)
	}
	status, err := proc.Wait()
	if err != nil || status.Signal() != unix.SIGKILL {
		t.Errorf("status %v, %v", status, err)
	}
	if err := unix.PidfdSendSignal(int(proc.Pidfd.Fd()), 0, nil, 0); err != unix.ESRCH {
		t.Errorf("signal to an ended process: %v", err)
	}
}

func TestStartErrors(t *testing.T) {
	closedFile := temporaryFile(t)
	closedFile.Close()
	for name, s := range map[string]Start{
		"closed standard stream": {Stdout: closedFile},
		"closed file":            {Inherit: []*os.File{closedFile}},
		"closed named file":      {Files: []NamedFile{{"a", closedFile}}},
		"name twice":             {Files: []NamedFile{{"a", os.Stdin}, {"a", os.Stdin}}},
		"reserved name":          {Files: []NamedFile{{string(FirstOwn), os.Stdin}}},
		"time namespace":         {Cloneflags: unix.CLONE_NEWTIME},
		"flag of another kind":   {Cloneflags: unix.CLONE_PARENT},
	} {
		if l, err := Prepare(NewProgram(), s); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	l, err := Prepare(NewProgram(), Start{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Start(1 << 20); err == nil {
		t.Error("a cgroup descriptor that is not open: no error")
	}
	proc, err := l.Start(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if _, err := l.Start(-1); err == nil {
		t.Error("started twice: no error")
	}
	l.Close()
	l.Close()
	if _, err := l.Start(-1); err == nil {
		t.Error("started after Close: no error")
	}
	wantStatus(t, proc, ExitFailed)
}
