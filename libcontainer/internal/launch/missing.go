package launch

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

const (
	// maxLinks is how many symlinks a path may have, as in the kernel.
	maxLinks = 40
	// maxParts bounds how often a process may ask about one path: no path has more elements.
	maxParts = unix.PathMax / 2
)

// missingQuestion is the last question of setup.MessageMissing, and how often it was repeated.
type missingQuestion struct {
	number uint32
	answer setup.Missing
	count  int
}

// answerMissing sends the process the next element of a path in its root that it must create.
func (p *Process) answerMissing(m nsenter.Message) error {
	if m.File == nil {
		return &specconv.FieldError{Path: "mounts", Err: errNoFile}
	}
	defer m.File.Close()
	wanted, ok := p.plan.WantedPath(m.Value)
	fail := func(err error) error {
		errno := unix.EIO
		errors.As(err, &errno)
		return p.plan.WantedPathError(m.Value, errno)
	}
	if !ok {
		return fail(unix.EBADMSG)
	}
	next, err := missingIn(m.File, wanted)
	if err != nil {
		return fail(err)
	}
	// The process has created it and it does not exist: the filesystem, such as procfs, cannot have
	// the name, or a neighbour has removed it.
	if p.asked.number == m.Value && p.asked.answer == next || p.asked.count == maxParts {
		return fail(unix.ENOENT)
	}
	if p.asked.number != m.Value {
		p.asked.count = 0
	}
	p.asked.number, p.asked.answer = m.Value, next
	p.asked.count++
	answer, err := next.Encode()
	if err != nil {
		return fail(err)
	}
	return p.proc.Conn.Answer(answer)
}

// missingIn returns the first missing element of a path, or its last element if none is missing. It
// follows symlinks inside the root. The content of root is hostile and may change at any moment:
// the answer is only a hint.
func missingIn(root *os.File, wanted string) (setup.Missing, error) {
	at, rest := "/", wanted // at is resolved, rest is not
	for links := 0; ; {
		name := ""
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		last := strings.Trim(rest, "/") == ""
		switch name {
		case "", ".":
			if last {
				return setup.Missing{Parent: path.Dir(at), Name: path.Base(at), Last: true}, nil
			}
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		target, err := readLinkIn(root, at, name)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL) && last: // EINVAL: it exists and is not a symlink
			return setup.Missing{Parent: at, Name: name, Last: last}, nil
		case errors.Is(err, unix.EINVAL):
			at = path.Join(at, name)
			continue
		case err != nil:
			return setup.Missing{}, err
		}
		if links++; links > maxLinks {
			return setup.Missing{}, unix.ELOOP
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = target + "/" + rest
	}
}

// readLinkIn reads a symlink in a directory of the root.
func readLinkIn(root *os.File, dir, name string) (string, error) {
	d, err := sys.OpenInRoot(root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer d.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(d.Fd()), name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
