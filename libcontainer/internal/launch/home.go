package launch

import (
	"io"
	"os"
	"strings"
	"time"

	"github.com/moby/sys/user"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// homeTimeout bounds the wait for a filesystem that the container controls, such as FUSE.
const homeTimeout = 10 * time.Second

// passwdLimit bounds how much of a passwd file is read.
const passwdLimit = 8 << 20

// noHome is the home of a user without one.
const noHome = "/"

// homeOf returns a user's home directory according to /etc/passwd below root, whose content is
// hostile. If the file is broken, missing or unreadable the home is "/", as with other runtimes.
func homeOf(root *os.File, uid uint32) (string, error) {
	home := make(chan string, 1)
	go func() { home <- homeIn(root, uid) }()
	select {
	case h := <-home:
		return h, nil
	case <-time.After(homeTimeout):
		return "", timeout.Errorf("read /etc/passwd of the container for HOME: no answer within %v (HOME in process.env makes it unnecessary)", homeTimeout)
	}
}

// homeIn is homeOf without a timeout.
func homeIn(root *os.File, uid uint32) string {
	passwd, err := sys.OpenPlainInRoot(root, "etc/passwd")
	if err != nil {
		return noHome
	}
	defer passwd.Close()
	return homeFrom(io.LimitReader(passwd, passwdLimit), uid)
}

// homeFrom returns the home of the first user with that UID. It stores no other user: a small file
// can name millions of them.
func homeFrom(passwd io.Reader, uid uint32) string {
	found := false
	users, err := user.ParsePasswdFilter(passwd, func(u user.User) bool {
		first := !found && u.Uid == int(uid)
		found = found || first
		return first
	})
	if err != nil || len(users) == 0 {
		return noHome
	}
	home := users[0].Home
	if home == "" || len(home) > setup.MaxHome || strings.ContainsAny(home, "\x00\n") {
		return noHome
	}
	return home
}
