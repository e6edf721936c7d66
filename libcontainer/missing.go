package libcontainer

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
	// maxLinks is how many links a path may lead through, as in the kernel.
	maxLinks = 40
	// maxParts bounds how often a process may ask about one path: none has more parts.
	maxParts = unix.PathMax / 2
)

// tellMissing tells the process which part of a path of its root it has to make next.
func (b *birth) tellMissing(m nsenter.Message) error {
	if m.File == nil {
		return &specconv.FieldError{Path: "mounts", Err: errors.New("the process sent no descriptor")}
	}
	defer m.File.Close()
	wanted, ok := b.plan.WantedPath(m.Value)
	fail := func(err error) error {
		errno := unix.EIO
		errors.As(err, &errno)
		return b.plan.WantedPathError(m.Value, errno)
	}
	if !ok {
		return fail(unix.EBADMSG)
	}
	next, err := missingIn(m.File, wanted)
	if err != nil {
		return fail(err)
	}
	// What the process has just made is still not there: a name that cannot be made, as in a procfs, or a neighbour who removes it.
	if b.asked.number == m.Value && b.asked.answer == next || b.asked.count == maxParts {
		return fail(unix.ENOENT)
	}
	if b.asked.number != m.Value {
		b.asked.count = 0
	}
	b.asked.number, b.asked.answer = m.Value, next
	b.asked.count++
	answer, err := next.Encode()
	if err != nil {
		return fail(err)
	}
	return b.proc.Conn.Answer(answer)
}

// missingIn returns the first part of a path that is not there, following the links of the path inside the root, and the path's last part if
// nothing is missing. What root holds is hostile and may change at any moment: the answer only tells where to look.
func missingIn(root *os.File, wanted string) (setup.Missing, error) {
	at, rest := "/", wanted // the first is resolved
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
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL) && last: // EINVAL: it is there, and no link
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

// readLinkIn reads a link in a directory of the root.
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
