package hooks

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// input returns a file that holds data. It is a filled pipe: a hook that reads nothing can neither
// block the runtime nor cause EPIPE. Data that does not fit goes into a memory file.
func input(data []byte) (*os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	r, w := fds[0], fds[1]
	defer unix.Close(w)
	const usual = 64 << 10
	if len(data) > usual {
		// Fails beyond /proc/sys/fs/pipe-max-size; the write below then detects it.
		_, _ = unix.FcntlInt(uintptr(w), unix.F_SETPIPE_SZ, len(data))
	}
	n := 0
	var err error
	if len(data) > 0 {
		n, err = sys.Retry(func() (int, error) { return unix.Write(w, data) })
	}
	if err == nil && n == len(data) {
		// The hook gets the read end and expects it to block.
		if err = unix.SetNonblock(r, false); err == nil {
			return os.NewFile(uintptr(r), "hook-stdin"), nil
		}
	}
	_ = unix.Close(r)
	if err != nil && err != unix.EAGAIN {
		return nil, fmt.Errorf("write state: %w", err)
	}
	return memoryFile(data)
}

// memoryFile returns a read-only file that holds data.
func memoryFile(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("hook-stdin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "hook-stdin")
	_, err = f.Write(data)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write state: %w", err)
	}
	return f, nil
}

// tailSize is how much of a hook's output an error can quote.
const tailSize = 4 << 10

// tail is the read end of a pipe and the last bytes read from it.
type tail struct {
	fd  int // -1 when closed, which poll(2) ignores
	buf []byte
	cut bool // something before buf was dropped
}

// outputPipe returns a tail and its write end.
func outputPipe() (*tail, *os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	w := os.NewFile(uintptr(fds[1]), "hook-output")
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_ = unix.Close(fds[0])
		_ = w.Close()
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	return &tail{fd: fds[0]}, w, nil
}

func (t *tail) close() {
	if t.fd >= 0 {
		_ = unix.Close(t.fd)
		t.fd = -1
	}
}

// drain reads what is in the pipe, and closes it at its end. It reads at most as much as a pipe can
// hold: a hook's child that writes endlessly must not detain the runtime.
func (t *tail) drain() {
	var chunk [16 << 10]byte
	const most = 1 << 20
	for total := 0; t.fd >= 0 && total < most; {
		n, err := sys.Retry(func() (int, error) { return unix.Read(t.fd, chunk[:]) })
		switch {
		case n > 0:
			t.keep(chunk[:n])
			total += n
		case err == unix.EAGAIN:
			return
		default:
			t.close()
		}
	}
}

func (t *tail) keep(b []byte) {
	t.buf = append(t.buf, b...)
	if drop := len(t.buf) - tailSize; drop > 0 {
		t.buf = append(t.buf[:0], t.buf[drop:]...)
		t.cut = true
	}
}

// String returns the end of the output; a leading "..." stands for omitted output.
func (t *tail) String() string {
	if t.cut {
		return "..." + string(t.buf)
	}
	return string(t.buf)
}
