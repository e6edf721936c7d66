package nsenter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The protocol of the process and its starter on Channel, a connection that keeps message
// boundaries.
//
//	process                                  starter
//	  {1, id, value, 0} [descriptor]  ---->
//	  blocks, if it is a rendezvous   <----  one byte, or the requested data
//	  {2, operation, errno, 0}        ---->                then exits
//	  end of file                     ---->                it executed its program, or it died
//
// An end of file from the starter's side ends the process.
const (
	kindMessage = 1
	kindFailure = 2
)

// Send appends operations that send a message with the low 32 bits of a value to the starter. The
// process does not wait.
func (p *Program) Send(id int, value Arg) {
	rec := p.message(id)
	if value != nil {
		p.Store(rec+8, value)
	}
	p.Call(unix.SYS_SENDTO, Channel, rec, Int(reportSize), Int(unix.MSG_NOSIGNAL))
}

// Write is Send by write(2), which more seccomp filters allow. If the starter has gone, SIGPIPE
// ends the process.
func (p *Program) Write(id int, value Arg) {
	rec := p.message(id)
	p.Store(rec+8, value)
	p.Call(unix.SYS_WRITE, Channel, rec, Int(reportSize))
}

// Rendezvous appends operations that send a message and wait until the starter answers it with
// [Conn.Resume].
func (p *Program) Rendezvous(id int) {
	p.Send(id, nil)
	p.Await()
}

// SendOr and AwaitOr are Send and Await for a process that can have another starter. If the current
// one has gone, the process continues at the label.
func (p *Program) SendOr(id int, gone Label) {
	p.Call(unix.SYS_SENDTO, Channel, p.message(id), Int(reportSize), Int(unix.MSG_NOSIGNAL)).OnError(gone, unix.EPIPE, unix.ECONNRESET)
}

// AwaitOr is to Await what SendOr is to Send.
func (p *Program) AwaitOr(gone Label) {
	p.Call(unix.SYS_READ, Channel, p.Bytes(make([]byte, 8)), Int(1)).OnError(gone, unix.ECONNRESET).OnZero(gone)
}

// Await appends the operation that waits for [Conn.Resume].
func (p *Program) Await() { p.AwaitOn(Channel) }

// AwaitOn is Await for a one-byte answer from another descriptor, such as a pipe. The answer may
// arrive before the process waits for it.
func (p *Program) AwaitOn(fd Arg) {
	p.Call(unix.SYS_READ, fd, p.Bytes(make([]byte, 8)), Int(1)).OnZero(exitOp)
}

// AwaitData appends the operation that waits for [Conn.Answer], and reads at most size bytes of it.
func (p *Program) AwaitData(to Addr, size int) {
	p.Call(unix.SYS_READ, Channel, to, Int(size)).OnZero(exitOp)
}

// SendFile appends operations that send a message with a descriptor, and the low 32 bits of a
// value, to the starter. The process does not wait.
func (p *Program) SendFile(id int, fd, value Arg) {
	rec := p.message(id)
	if value != nil {
		p.Store(rec+8, value)
	}
	iov := p.Words(uint64(rec), reportSize)
	control := make([]byte, unix.CmsgSpace(4))
	binary.LittleEndian.PutUint64(control, uint64(unix.CmsgLen(4)))
	binary.LittleEndian.PutUint32(control[8:], unix.SOL_SOCKET)
	binary.LittleEndian.PutUint32(control[12:], unix.SCM_RIGHTS)
	ctl := p.Bytes(control)
	p.Store(ctl+Addr(unix.CmsgLen(0)), fd)
	msg := p.Words(0, 0, uint64(iov), 1, uint64(ctl), uint64(len(control)), 0)
	p.Call(unix.SYS_SENDMSG, Channel, msg, Int(unix.MSG_NOSIGNAL))
}

func (p *Program) message(id int) Addr {
	rec := make([]byte, reportSize)
	binary.LittleEndian.PutUint32(rec, kindMessage)
	binary.LittleEndian.PutUint32(rec[4:], uint32(id))
	return p.Bytes(rec)
}

// A Conn is the starter's end of a program's channel. Close must not be called while another method
// runs: the end of the process unblocks Next.
type Conn struct{ file *os.File }

// NewConn returns the starter's end of a channel. It owns the descriptor.
func NewConn(f *os.File) *Conn { return &Conn{f} }

// A Message is a message from the process.
type Message struct {
	ID    int
	Value uint32
	File  *os.File // received with it, or nil; the receiver must close it
	// Sender is the PID of the sending process according to the kernel, in the receiver's PID
	// namespace. It is only set with Start.Senders, and then also for a Failure.
	Sender int
}

// A Failure is the operation that failed and its error. Op is an index into the program's
// operations as long as the sender is the program; its user must check it.
type Failure struct {
	Op    int
	Errno syscall.Errno
}

func (f *Failure) Error() string { return fmt.Sprintf("operation %d: %v", f.Op, f.Errno) }

func (f *Failure) Unwrap() error { return f.Errno }

// TimeUp is the result of [Conn.Wait] after a timeout.
const TimeUp = -1

// Wait waits until Next has something to return, and then returns 0; or until one of the files is
// readable, and returns its index, counted from 1; or until the time limit is over. A limit below 0
// is none.
func (c *Conn) Wait(limit time.Duration, files ...*os.File) (int, error) {
	fds := make([]unix.PollFd, 1, 1+len(files))
	fds[0] = unix.PollFd{Fd: int32(c.file.Fd()), Events: unix.POLLIN}
	for _, f := range files {
		fds = append(fds, unix.PollFd{Fd: int32(f.Fd()), Events: unix.POLLIN})
	}
	deadline := time.Now().Add(limit)
	for {
		timeout := -1
		if limit >= 0 {
			timeout = int(max(time.Until(deadline), 0).Milliseconds())
		}
		n, err := unix.Poll(fds, timeout)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("wait for the process: %w", err)
		case n == 0:
			return TimeUp, nil
		}
		for i := range fds {
			if fds[i].Revents != 0 {
				return i, nil
			}
		}
	}
}

// Next returns the next message. It returns a *[Failure] when the program failed, and [io.EOF] when
// the process no longer has the channel open: it executed its program, or it died.
func (c *Conn) Next() (Message, error) {
	buf := make([]byte, reportSize)
	control := make([]byte, unix.CmsgSpace(4)+unix.CmsgSpace(unix.SizeofUcred))
	n, ctl, flags, err := c.receive(buf, control)
	if err != nil {
		return Message{}, fmt.Errorf("read from the process: %w", err)
	}
	file, sender, err := received(control[:ctl])
	if err != nil {
		return Message{}, err
	}
	if n == 0 && file == nil {
		return Message{}, io.EOF
	}
	m, err := decode(buf[:n], flags)
	if err != nil {
		if file != nil {
			file.Close()
		}
		return Message{Sender: sender}, err
	}
	m.File, m.Sender = file, sender
	return m, nil
}

// receive reads a record. When the process exits with unread data, such as an answer that came too
// early, the kernel reports that once, before the records that it sent: a failure may follow.
func (c *Conn) receive(buf, control []byte) (n, ctl, flags int, err error) {
	for {
		n, ctl, flags, _, err = unix.Recvmsg(int(c.file.Fd()), buf, control, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNRESET) {
			return n, ctl, flags, err
		}
	}
}

// decode parses a record. Until the exec the process runs nothing but the program, so a malformed
// record is a bug of the runtime; it is rejected all the same.
func decode(rec []byte, flags int) (Message, error) {
	if len(rec) != reportSize || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return Message{}, fmt.Errorf("read from the process: a message of %d bytes, not %d", len(rec), reportSize)
	}
	le := binary.LittleEndian
	first, second := le.Uint32(rec[4:]), le.Uint32(rec[8:])
	switch kind := le.Uint32(rec); kind {
	case kindMessage:
		return Message{ID: int(first), Value: second}, nil
	case kindFailure:
		return Message{}, &Failure{Op: int(first), Errno: syscall.Errno(second)}
	default:
		return Message{}, fmt.Errorf("read from the process: a message of unknown kind %d", kind)
	}
}

// received returns the descriptor and the sender of a message.
func received(control []byte) (f *os.File, sender int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, 0, fmt.Errorf("read from the process: %w", err)
	}
	var files []int
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			files = append(files, fds...)
		} else if c, err := unix.ParseUnixCredentials(&m); err == nil {
			sender = int(c.Pid)
		}
	}
	switch len(files) {
	case 0:
		return nil, sender, nil
	case 1:
		return os.NewFile(uintptr(files[0]), "received"), sender, nil
	}
	for _, fd := range files { // the padding has room for a second one
		unix.Close(fd)
	}
	return nil, sender, fmt.Errorf("read from the process: a message with %d descriptors, not 1", len(files))
}

// Resume resumes a process at a rendezvous. EPIPE means that the process has gone; Next returns
// why.
func (c *Conn) Resume() error { return c.Answer([]byte{1}) }

// Answer is Resume for a process that waits for data, at least one byte.
func (c *Conn) Answer(data []byte) error {
	if err := unix.Sendto(int(c.file.Fd()), data, unix.MSG_NOSIGNAL, nil); err != nil {
		return fmt.Errorf("resume the process: %w", err)
	}
	return nil
}

// Close closes the channel, which ends a process that waits on it.
func (c *Conn) Close() error { return c.file.Close() }
