package nsenter

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMessages(t *testing.T) {
	file := temporaryFile(t)
	p := NewProgram()
	r := p.Reg()
	p.Call(unix.SYS_UMASK, Int(0o123))
	p.Call(unix.SYS_UMASK, Int(0)).Result(r)
	p.Send(11, r)
	p.Send(-12, Int(-13))
	p.SendFile(14, FD("file"), Int(3))
	p.Rendezvous(15)
	p.Fail(unix.EXDEV)
	proc := start(t, p, Start{Files: []NamedFile{{"file", file}}})
	for _, want := range []Message{{ID: 11, Value: 0o123}, {ID: 0xfffffff4, Value: 0xfffffff3}} {
		if m, err := proc.Conn.Next(); err != nil || m != want {
			t.Errorf("got %+v, %v; want %+v", m, err, want)
		}
	}
	m, err := proc.Conn.Next()
	if err != nil || m.ID != 14 || m.Value != 3 || m.File == nil {
		t.Fatalf("got %+v, %v", m, err)
	}
	defer m.File.Close()
	if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(m.File.Fd()))); err != nil || name != file.Name() {
		t.Errorf("received %q, %v", name, err)
	}
	if flags, err := unix.FcntlInt(m.File.Fd(), unix.F_GETFD, 0); err != nil || flags != unix.FD_CLOEXEC {
		t.Errorf("the received descriptor's flags are %#x, %v", flags, err)
	}
	rendezvous(t, proc.Conn, 15)
	if err := proc.Conn.Resume(); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, proc.Conn, p.Len()-1, unix.EXDEV)
	wantEOF(t, proc.Conn)
	wantStatus(t, proc, ExitFailed)
}

// TestAnswer: a process reads as much of the requested data as it has room for.
func TestAnswer(t *testing.T) {
	for answer, want := range map[string]string{"123": "n=123", "1234567": "n=12345"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := NewProgram()
		to := p.Bytes([]byte("n=\x00\x00\x00\x00\x00\x00"))
		p.Send(3, nil)
		p.AwaitData(to+2, 5)
		p.Call(unix.SYS_WRITE, FD("pipe"), to, Int(8))
		p.Call(unix.SYS_EXIT_GROUP, Int(0))
		proc := start(t, p, Start{Files: []NamedFile{{"pipe", w}}})
		w.Close()
		rendezvous(t, proc.Conn, 3)
		if err := proc.Conn.Answer([]byte(answer)); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if got := strings.TrimRight(string(data), "\x00"); err != nil || got != want {
			t.Errorf("answer %s: %q, %v", answer, got, err)
		}
		r.Close()
		wantStatus(t, proc, 0)
	}
}

// TestSenders: the kernel reports which process has sent a message or a failure, whatever its
// content. The second process has none of the descriptors above the channel.
func TestSenders(t *testing.T) {
	p := NewProgram()
	pid, child := p.Reg(), p.NewLabel()
	p.Call(unix.SYS_CLOSE_RANGE, AboveFD(FirstOwn), Int(math.MaxUint32), Int(0))
	p.Call(unix.SYS_CLONE, Int(unix.CLONE_PARENT|int(unix.SIGCHLD))).Result(pid).OnZero(child)
	p.Write(1, pid)
	p.Call(unix.SYS_EXIT_GROUP)
	p.Place(child)
	p.Write(1, Int(1))
	p.Call(unix.SYS_FCNTL, FD("file"), Int(unix.F_GETFD))
	proc := start(t, p, Start{Files: []NamedFile{{"file", temporaryFile(t)}}, Senders: true})
	var told, lied, failed int
	for range 3 {
		m, err := proc.Conn.Next()
		var f *Failure
		switch {
		case errors.As(err, &f) && f.Errno == unix.EBADF:
			failed = m.Sender
		case err != nil || m.ID != 1:
			t.Fatalf("got %+v, %v", m, err)
		case m.Sender == proc.Pid:
			told = int(m.Value)
		default:
			lied = m.Sender
		}
	}
	wantEOF(t, proc.Conn)
	if told == 0 || lied != told || failed != told {
		t.Errorf("the child is %d; it lied as %d and failed as %d", told, lied, failed)
	}
	wantStatus(t, proc, 0)
	if _, err := unix.Wait4(told, nil, unix.WALL, nil); err != nil {
		t.Error(err)
	}
}

// A process whose starter has died must exit.
func TestStarterGone(t *testing.T) {
	p := NewProgram()
	p.Rendezvous(1)
	p.Call(unix.SYS_EXIT_GROUP, Int(0))
	proc := start(t, p, Start{})
	rendezvous(t, proc.Conn, 1)
	proc.Conn.Close()
	wantStatus(t, proc, ExitFailed)
}

// A failure must be seen even if it follows the error that an unsolicited answer causes.
func TestEarlyAnswer(t *testing.T) {
	p := NewProgram()
	p.Rendezvous(1)
	p.Send(2, nil)
	p.Fail(unix.EIO)
	proc := start(t, p, Start{})
	rendezvous(t, proc.Conn, 1)
	// Stopped, it cannot have exited before the second answer.
	if err := unix.Kill(proc.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one too many
		if err := proc.Conn.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Kill(proc.Pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, proc, ExitFailed)
	if m, err := proc.Conn.Next(); err != nil || m.ID != 2 {
		t.Errorf("got %+v, %v", m, err)
	}
	wantFailure(t, proc.Conn, p.Len()-1, unix.EIO)
	wantEOF(t, proc.Conn)
	if err := proc.Conn.Resume(); !errors.Is(err, unix.EPIPE) {
		t.Errorf("resume a process that has gone: %v", err)
	}
}

// The channel may be replaced: this is how `create` leaves a process that `start` communicates
// with.
func TestAcceptedChannel(t *testing.T) {
	for name, last := range map[string]func(p *Program){
		"exec": func(p *Program) {
			p.Call(unix.SYS_EXECVE, p.String("/bin/true"), p.Strings([]string{"true"}), p.Strings(nil))
		},
		"failure": func(p *Program) { p.Call(unix.SYS_EXECVE, p.String("/nowhere"), p.Strings(nil), p.Strings(nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "socket")
			listener := seqpacket(t)
			if err := unix.Bind(int(listener.Fd()), &unix.SockaddrUnix{Name: path}); err != nil {
				t.Fatal(err)
			}
			if err := unix.Listen(int(listener.Fd()), 1); err != nil {
				t.Fatal(err)
			}
			p := NewProgram()
			p.Call(unix.SYS_CLOSE_RANGE, FirstOwn, Int(1<<32-1), Int(unix.CLOSE_RANGE_CLOEXEC))
			p.Send(1, nil)
			p.Call(unix.SYS_ACCEPT4, FD("socket"), Int(0), Int(0), Int(unix.SOCK_CLOEXEC)).Result(Channel)
			p.Rendezvous(2)
			last(p)
			proc := start(t, p, Start{Files: []NamedFile{{"socket", listener}}})
			rendezvous(t, proc.Conn, 1)
			proc.Conn.Close() // the starter exits here

			client := seqpacket(t)
			if err := unix.Connect(int(client.Fd()), &unix.SockaddrUnix{Name: path}); err != nil {
				t.Fatal(err)
			}
			conn := NewConn(client)
			rendezvous(t, conn, 2)
			if err := conn.Resume(); err != nil {
				t.Fatal(err)
			}
			if name == "failure" {
				wantFailure(t, conn, p.Len()-1, unix.ENOENT)
				wantStatus(t, proc, ExitFailed)
			} else {
				wantEOF(t, conn)
				wantStatus(t, proc, 0)
			}
		})
	}
}

func seqpacket(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { f.Close() })
	return f
}

// Invalid records are rejected, and their descriptors are closed.
func TestMalformed(t *testing.T) {
	record := func(kind uint32) []byte {
		return binary.LittleEndian.AppendUint32(nil, kind)
	}
	for name, m := range map[string]struct {
		data  []byte
		files int
	}{
		"short":            {record(kindMessage), 0},
		"long":             {append(record(kindMessage), make([]byte, reportSize)...), 0},
		"of unknown kind":  {append(record(3), make([]byte, reportSize-4)...), 0},
		"short with file":  {record(kindMessage), 1},
		"with two files":   {append(record(kindMessage), make([]byte, reportSize-4)...), 2},
		"with three files": {append(record(kindMessage), make([]byte, reportSize-4)...), 3},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			conn := NewConn(os.NewFile(uintptr(pair[0]), "channel"))
			defer conn.Close()
			// Its read end shows whether a copy of its write end is left.
			var pipe [2]int
			if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pipe[0])
			var control []byte
			if m.files > 0 {
				fds := make([]int, m.files)
				for i := range fds {
					fds[i] = pipe[1]
				}
				control = unix.UnixRights(fds...)
			}
			if err := unix.Sendmsg(pair[1], m.data, control, nil, 0); err != nil {
				t.Fatal(err)
			}
			unix.Close(pair[1])
			unix.Close(pipe[1])
			got, err := conn.Next()
			if err == nil || err == io.EOF {
				t.Errorf("got %+v, %v", got, err)
			}
			if n, err := unix.Read(pipe[0], make([]byte, 1)); n != 0 || err != nil {
				t.Errorf("a descriptor is left: %d, %v", n, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, reportSize), 0)
	f.Add([]byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}, 0)
	f.Add([]byte{2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}, 0)
	f.Add([]byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}, unix.MSG_CTRUNC)
	f.Fuzz(func(t *testing.T, rec []byte, flags int) {
		m, err := decode(rec, flags)
		var failure *Failure
		switch {
		case err == nil:
			if len(rec) != reportSize || rec[0] != kindMessage {
				t.Errorf("%x is %+v", rec, m)
			}
		case errors.As(err, &failure):
			if len(rec) != reportSize || rec[0] != kindFailure || failure.Op < 0 {
				t.Errorf("%x is %v", rec, err)
			}
		}
		if err != nil && (m != Message{} || err.Error() == "") {
			t.Errorf("%x is %+v with the error %v", rec, m, err)
		}
	})
}
