package harness

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// LockControllers keeps others from moving a cgroup controller between cgroup2 and v1, or from
// using it, until the test ends: mounting a v1 hierarchy removes its controllers from cgroup2 on
// the whole machine. Tests of other packages run at the same time, and those of
// libcontainer/cgroups take the same lock.
func LockControllers(t testing.TB) {
	t.Helper()
	dir, err := os.Open("/sys/fs/cgroup")
	if err != nil {
		return // then there is no conflict
	}
	t.Cleanup(func() { dir.Close() })
	for {
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}
