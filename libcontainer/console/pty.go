package console

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The device number of every pseudoterminal's master.
const (
	ptmxMajor = 5
	ptmxMinor = 2
)

// SlaveName returns the path of the terminal with master f, in its own devpts instance: /dev/pts/0.
// It fails if f is not a master, and so validates a descriptor from a container.
func SlaveName(f *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", fmt.Errorf("stat terminal: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(ptmxMajor, ptmxMinor) {
		return "", errors.New("no master of a pseudo terminal")
	}
	n, err := unix.IoctlGetUint32(int(f.Fd()), unix.TIOCGPTN)
	if err != nil {
		return "", fmt.Errorf("number of terminal: %w", err)
	}
	return fmt.Sprintf("/dev/pts/%d", n), nil
}

// GetSize returns the size of the terminal f, which may be a master. Unlike f.Fd it keeps a
// non-blocking descriptor so, which a relay needs.
func GetSize(f *os.File) (size *unix.Winsize, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	closed := c.Control(func(fd uintptr) { size, err = unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ) })
	if err = cmp.Or(closed, err); err != nil {
		return nil, fmt.Errorf("size of terminal: %w", err)
	}
	return size, nil
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// makeRaw puts the terminal fd into raw mode, cfmakeraw(3), and returns its previous mode. output
// is set if the container's output goes to this terminal. It then passes through unchanged: the
// container's terminal adds the carriage returns, and a program that sets its own terminal to raw
// mode gets a raw one. Otherwise the terminal keeps processing the output of others. (containerd's
// console package always keeps that; runc turns it off in the container's terminal.)
func makeRaw(fd int, output bool) (*unix.Termios, error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	if output {
		raw.Oflag &^= unix.OPOST
	}
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag &^= unix.CSIZE | unix.PARENB
	raw.Cflag |= unix.CS8
	raw.Cc[unix.VMIN] = 1
	raw.Cc[unix.VTIME] = 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	return before, nil
}
