package console

import (
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

// Size is the size of a terminal in characters.
type Size struct {
	Rows, Columns uint16
}

// GetSize returns the size of the terminal f, which may be a master.
func GetSize(f *os.File) (s Size, err error) {
	cerr := control(f, func(fd int) { s, err = getSize(fd) })
	return s, errors.Join(cerr, err)
}

// SetSize sets the size of the terminal f, which may be a master. The terminal's foreground
// processes get SIGWINCH.
func SetSize(f *os.File, s Size) (err error) {
	cerr := control(f, func(fd int) { err = setSize(fd, s) })
	return errors.Join(cerr, err)
}

// control calls do with the descriptor of f. Unlike f.Fd it keeps a non-blocking descriptor so,
// which a relay needs.
func control(f *os.File, do func(fd int)) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(func(fd uintptr) { do(int(fd)) })
}

func getSize(fd int) (Size, error) {
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return Size{}, fmt.Errorf("size of terminal: %w", err)
	}
	return Size{Rows: ws.Row, Columns: ws.Col}, nil
}

func setSize(fd int, s Size) error {
	ws := &unix.Winsize{Row: s.Rows, Col: s.Columns}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, ws); err != nil {
		return fmt.Errorf("set size of terminal: %w", err)
	}
	return nil
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
