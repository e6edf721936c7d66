package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/idmap"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// userFacts gathers what the planner must know of the bundle's and the runtime's user namespaces.
func userFacts(own Rights, b *specconv.Bundle) (f setup.UserFacts, err error) {
	if f, err = ownUserFacts(own, b.Spec.Process); err != nil {
		return f, err
	}
	user, inUser := b.Namespace(specs.UserNamespace)
	if !inUser && !f.Nested {
		return f, nil
	}
	if f.HardLimits, err = hardLimits(); err != nil {
		return f, err
	}
	field, path := "", "/proc/self/ns/user"
	if inUser {
		field, path = jsonpath.Index("linux.namespaces", user.Index)+".path", user.Path
	}
	if path == "" {
		denied, err := idmap.SetgroupsDenied(os.Getpid()) // inherited by a new one (user_namespaces(7))
		if err != nil {
			return f, err
		}
		f.SetgroupsDenied = denied || f.Unprivileged && onlyOwn(b.Spec.Linux.GIDMappings)
		f.Foreign, err = foreign(b, nil)
		return f, err
	}
	ns, err := sys.Open(path, unix.O_RDONLY)
	if err != nil {
		return f, fromField(field, err)
	}
	defer ns.Close()
	if inUser {
		if f.Users, f.SetgroupsDenied, err = joinedMap(b, ns); err != nil {
			return f, fromField(field, err)
		}
	} else if f.SetgroupsDenied, err = idmap.SetgroupsDenied(os.Getpid()); err != nil {
		return f, err
	}
	f.Foreign, err = foreign(b, ns)
	return f, err
}

// joinedMap returns the map of a joined user namespace. A configuration may state the map as well,
// as engines do for the containers of a pod.
func joinedMap(b *specconv.Bundle, ns *os.File) (users *setup.IDMap, setgroupsDenied bool, err error) {
	m, denied, err := idmap.OfFile(ns)
	if err != nil {
		return nil, false, err
	}
	want := b.Spec.Linux
	if len(want.UIDMappings) > 0 && !slices.Equal(want.UIDMappings, m.UIDs) || len(want.GIDMappings) > 0 && !slices.Equal(want.GIDMappings, m.GIDs) {
		return nil, false, fmt.Errorf("the namespace has other mappings than linux.uidMappings and linux.gidMappings say")
	}
	found := setup.IDMap(m)
	return &found, denied, nil
}

// JoinUserFacts is userFacts for a process that joins the container of the process pid.
func JoinUserFacts(own Rights, j setup.Join, pid int, p *specs.Process) (f setup.UserFacts, err error) {
	if f, err = ownUserFacts(own, p); err != nil {
		return f, err
	}
	if j.Namespaces&unix.CLONE_NEWUSER == 0 && !f.Nested {
		return f, nil
	}
	m, err := idmap.Of(pid)
	if err != nil {
		return f, err
	}
	users := setup.IDMap(m)
	f.Users = &users
	if f.SetgroupsDenied, err = idmap.SetgroupsDenied(pid); err != nil {
		return f, err
	}
	f.HardLimits, err = hardLimits()
	return f, err
}

// ownUserFacts gathers the runtime's own privileges.
func ownUserFacts(own Rights, p *specs.Process) (f setup.UserFacts, err error) {
	f.Unprivileged, f.Nested = own.Unprivileged(), own.Nested
	if (f.Unprivileged || f.Nested) && p != nil && p.OOMScoreAdj != nil {
		f.LeastOOMScore, err = ownOOMScore()
	}
	return f, err
}

// fromField makes err an error of a field of the configuration, if path names one.
func fromField(path string, err error) error {
	if path == "" {
		return err
	}
	return &specconv.FieldError{Path: path, Err: err}
}

// onlyOwn reports whether an ordinary user can write a group map directly, which requires denying
// setgroups.
func onlyOwn(list []specs.LinuxIDMapping) bool { return len(list) == 1 && list[0].Size == 1 }

// foreign returns the namespaces that the container joins, or shares with the runtime, and that the
// user namespace does not own.
func foreign(b *specconv.Bundle, user *os.File) (flags uintptr, err error) {
	for _, k := range specconv.NamespaceKinds() {
		n, ok := b.Namespace(k.Type)
		if k.Type == specs.UserNamespace || ok && n.Path == "" {
			continue
		}
		path := n.Path
		if !ok {
			path = "/proc/self/ns/" + k.Proc
		}
		owned := false
		if user != nil {
			if owned, err = ownedFile(path, user); err != nil {
				return 0, &specconv.FieldError{Path: "linux.namespaces", Err: err}
			}
		}
		if !owned {
			flags |= k.Flag
		}
	}
	return flags, nil
}

func ownedFile(path string, user *os.File) (bool, error) {
	ns, err := sys.Open(path, unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer ns.Close()
	return idmap.Owned(ns, user)
}

// hardLimits returns the runtime's hard limits by resource number.
func hardLimits() ([]uint64, error) {
	const resources = 16 // RLIM_NLIMITS
	limits := make([]uint64, resources)
	for i := range limits {
		var l unix.Rlimit
		if err := unix.Prlimit(0, i, nil, &l); err != nil {
			return nil, fmt.Errorf("prlimit: %w", err)
		}
		limits[i] = l.Max
	}
	return limits, nil
}

func ownOOMScore() (*int, error) {
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	return &n, err
}
