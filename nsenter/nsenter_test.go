package nsenter

import (
	"errors"
	"io"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func start(t *testing.T, p *Program, s Start) *Process {
	t.Helper()
	l, err := Prepare(p, s)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	proc, err := l.Start(-1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proc.Close)
	return proc
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
	p.Call(unix.SYS_EXECVE, p.String("/bin/sh"), p.Strings([]string{"sh", "-c", "echo $A $0; ls /proc/self/fd; exit 3"}), p.Strings([]string{"A=b"}))
	proc := start(t, p, Start{Stdout: w})
	w.Close()
	m, err := proc.Conn.Next()
	if err != nil || m.ID != 7 {
		t.Fatalf("got %v, %v; want rendezvous 7", m, err)
	}
	exe, err := os.Readlink("/proc/" + strconv.Itoa(proc.Pid) + "/exe")
	if err != nil || exe != "/memfd:orlop (deleted)" {
		t.Errorf("exe is %q, %v", exe, err)
	}
	if err := proc.Conn.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.Conn.Next(); err != io.EOF {
		t.Errorf("after the exec: %v, want EOF", err)
	}
	out, _ := io.ReadAll(r)
	if string(out) != "b sh\n0\n1\n2\n3\n" {
		t.Errorf("output %q", out)
	}
	status, err := proc.Wait()
	if err != nil || status.ExitStatus() != 3 {
		t.Errorf("status %v, %v", status, err)
	}
}

func TestFailure(t *testing.T) {
	p := NewProgram()
	p.Step(4)
	p.Call(unix.SYS_CHDIR, p.String("/nowhere")).Ignore(unix.ENOENT)
	p.Step(5)
	p.Call(unix.SYS_CHDIR, p.String("/nowhere")).Ignore(unix.EACCES, unix.EPERM)
	proc := start(t, p, Start{})
	_, err := proc.Conn.Next()
	var f *Failure
	if !errors.As(err, &f) || f.Op != 1 || !errors.Is(err, unix.ENOENT) {
		t.Fatalf("got %v", err)
	}
	if step := p.Ops()[f.Op].Step; step != 5 {
		t.Errorf("step %d", step)
	}
	if status, err := proc.Wait(); err != nil || status.ExitStatus() != exitFailed {
		t.Errorf("status %v, %v", status, err)
	}
}
