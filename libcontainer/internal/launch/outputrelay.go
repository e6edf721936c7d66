package launch

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// An outputRelay copies the output of a process from pipes to the caller's files. The process's
// user owns the pipes, and can therefore reopen /dev/stdout. The files keep their owner.
type outputRelay struct {
	pipes   []*os.File // the read ends
	copiers sync.WaitGroup
}

// insert replaces the relayed streams by pipes and returns the write ends, for the process. Two
// streams of one file share a pipe.
func (o *outputRelay) insert(s *Streams) (theirs []*os.File, err error) {
	set := s.Relayed
	one := set[1] && set[2] && oneFile(s.Stdout, s.Stderr)
	for fd, stream := range []**os.File{1: &s.Stdout, 2: &s.Stderr} {
		if !set[fd] {
			continue
		}
		if fd == 2 && one {
			s.Stderr = s.Stdout
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, fmt.Errorf("pipe: %w", err)
		}
		theirs = append(theirs, w)
		o.pipes = append(o.pipes, r)
		to := *stream
		*stream = w
		o.copiers.Add(1)
		go func() {
			defer o.copiers.Done()
			copyOutput(to, r)
		}()
	}
	return theirs, nil
}

func oneFile(a, b *os.File) bool {
	x, err := a.Stat()
	if err != nil {
		return false
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y)
}

// copyOutput copies until the end of the pipe, or until its deadline and then what the pipe still
// holds. If a write fails, it closes the pipe: the process gets EPIPE.
func copyOutput(to, pipe *os.File) {
	defer pipe.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := pipe.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			copyRest(to, pipe, buf)
		}
		if err != nil {
			return
		}
	}
}

// copyRest copies what a pipe holds.
func copyRest(to, pipe *os.File, buf []byte) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { // fails only if the pipe is closed, which then holds nothing
		for {
			n, _ := sys.Retry(func() (int, error) { return unix.Read(int(fd), buf) })
			if n <= 0 {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	})
}

// finish returns when everything that the process has written is copied. It does not wait for other
// processes that still have the pipe open.
func (o *outputRelay) finish() {
	if o == nil {
		return
	}
	for _, r := range o.pipes {
		_ = r.SetReadDeadline(time.Now()) // fails if the pipe has ended
	}
	o.copiers.Wait()
}
