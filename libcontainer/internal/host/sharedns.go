package host

import (
	"errors"
	"io/fs"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// sharedFacts finds the joined namespaces that are the runtime's own, whatever their paths. It
// checks only those that the configuration would change.
func sharedFacts(b *specconv.Bundle, f *setup.Facts) error {
	for _, k := range specconv.NamespaceKinds() {
		n, ok := b.Namespace(k.Type)
		if !ok || n.Path == "" || !changes(b, k.Type) {
			continue
		}
		field := jsonpath.Index("linux.namespaces", n.Index) + ".path"
		theirs, err := os.Stat(n.Path)
		if err != nil {
			return &specconv.FieldError{Path: field, Err: err}
		}
		own, err := os.Stat("/proc/self/ns/" + k.Proc)
		if err != nil {
			return err
		}
		shared := os.SameFile(theirs, own)
		if k.Type == specs.MountNamespace && !shared {
			// The runtime may be in a mount namespace of its own, as under unshare(1) or a service
			// manager.
			if shared, err = ofInit(theirs, k.Proc); err != nil {
				return &specconv.FieldError{Path: field, Err: err}
			}
		}
		if shared {
			f.Shared |= k.Flag
		}
	}
	if f.Shared&unix.CLONE_NEWUTS == 0 {
		return nil
	}
	names, err := sys.Uname()
	f.Hostname, f.Domainname = names.Hostname, names.Domainname
	return err
}

// changes reports whether the configuration changes the container's namespace of a kind.
func changes(b *specconv.Bundle, kind specs.LinuxNamespaceType) bool {
	if b.Spec.Linux != nil && len(b.Spec.Linux.Sysctl) > 0 {
		return true
	}
	switch kind {
	case specs.MountNamespace: // by the root filesystem at least
		return true
	case specs.UTSNamespace:
		return b.Spec.Hostname != "" || b.Spec.Domainname != ""
	case specs.NetworkNamespace:
		return len(b.NetDevices) > 0
	}
	return false
}

// ofInit reports whether a namespace is that of the host's first process. A caller that may not
// inspect that process may not join its namespaces either.
func ofInit(ns os.FileInfo, proc string) (bool, error) {
	first, err := os.Stat("/proc/1/ns/" + proc)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ns, first), err
}
