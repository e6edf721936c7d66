package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// needs are what some programs require and not every host has, or can give to several at a time.
type needs struct {
	V1          bool     // a hierarchy of cgroup v1
	Controllers []string // hierarchies of v1 that are mounted for the program if the host has no such
	RealTime    bool     // all of the processors' time for real-time processes
}

// needsOf returns the needs of a program.
func needsOf(test string) needs {
	n := needs{V1: strings.HasPrefix(test, "linux_cgroups_")}
	switch {
	case test == "delete_resources", test == "delete_only_create_resources":
		n.V1 = true
	case test == "linux_cgroups_cpus":
		n.RealTime = true
	case n.V1 && strings.HasSuffix(test, "_network"):
		n.Controllers = []string{"net_cls", "net_prio"}
	case n.V1 && strings.HasSuffix(test, "_hugetlb"):
		n.Controllers = []string{"hugetlb"}
	}
	return n
}

// alone reports whether the program must not run at the same time as others of its kind or tests
// that use the same controllers.
func (n needs) alone() bool { return n.RealTime || len(n.Controllers) > 0 }

// lockControllers keeps others from moving cgroup controllers between cgroup2 and v1. The project's
// other tests take the same lock.
func lockControllers() (unlock func(), err error) {
	dir, err := os.Open(cgroupFolder)
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
	}
	return func() { dir.Close() }, err
}
