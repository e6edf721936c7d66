package setup

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// UserNamespaceFile is the user namespace that the process joins. The runtime makes a new one
// before the process.
const UserNamespaceFile nsenter.FD = "user namespace"

// An IDMap maps IDs of a user namespace to IDs of the runtime's.
type IDMap struct{ UIDs, GIDs []specs.LinuxIDMapping }

func isMapped(list []specs.LinuxIDMapping, id uint32) bool {
	_, ok := specconv.HostID(list, id)
	return ok
}

// UserNamespace returns the map of a container's user namespace: from the configuration for a new
// one, from the facts for one that is joined.
func UserNamespace(b *specconv.Bundle, f *Facts) *IDMap {
	if n, ok := b.Namespace(specs.UserNamespace); ok && n.Path == "" {
		return &IDMap{b.Spec.Linux.UIDMappings, b.Spec.Linux.GIDMappings}
	}
	return f.Users
}

// joinUser joins the container's user namespace, in which the process then has all capabilities. It
// still has its IDs from outside, which are not mapped there.
type joinUser struct {
	Path string // "" for a new one
	Map  *IDMap // of a new one
}

func (joinUser) kind() kind    { return kind{phaseJoin, "join", ""} }
func (j joinUser) isNew() bool { return j.Path == "" }

func (j joinUser) String() string {
	if !j.isNew() {
		return "join the user namespace " + j.Path
	}
	return "join a new user namespace: uids " + idList(j.Map.UIDs) + "; gids " + idList(j.Map.GIDs)
}

func (j joinUser) Needs() []Descriptor {
	if j.isNew() {
		return []Descriptor{{Name: UserNamespaceFile, Users: j.Map}}
	}
	return []Descriptor{{Name: UserNamespaceFile, Path: j.Path, Part: "path"}}
}

func (j joinUser) lower(l *lowering) {
	l.call(unix.SYS_SETNS, UserNamespaceFile, nsenter.Int(unix.CLONE_NEWUSER))
}

// idList formats mappings for messages: "0-65535 as 100000-165535".
func idList(list []specs.LinuxIDMapping) string {
	text := ""
	for i, m := range list {
		if i > 0 {
			text += ", "
		}
		text += idRange(m.ContainerID, m.Size) + " as " + idRange(m.HostID, m.Size)
	}
	return text
}

func idRange(first, size uint32) string {
	n := func(v uint64) string { return strconv.FormatUint(v, 10) }
	if size == 1 {
		return n(uint64(first))
	}
	return n(uint64(first)) + "-" + n(uint64(first)+uint64(size)-1)
}

// becomeRoot changes to the root IDs of the user namespace that was just joined, so that root owns
// what the process creates. Capabilities stay.
type becomeRoot struct {
	Dumpable bool // see isolate
}

func (becomeRoot) kind() kind {
	return kind{phaseJoin, "become", "become user 0, group 0 of the user namespace"}
}

func (s becomeRoot) lower(l *lowering) {
	root := nsenter.Int(0)
	l.call(unix.SYS_SETRESGID, root, root, root)
	l.call(unix.SYS_SETRESUID, root, root, root)
	l.dumpable(s.Dumpable)
}

// checkRoot rejects a user namespace without a root that a container joins. specconv checks new
// ones.
func checkRoot(bundle *specconv.Bundle, m *IDMap) error {
	n, ok := bundle.Namespace(specs.UserNamespace)
	if !ok || n.Path == "" || m == nil || isMapped(m.UIDs, 0) && isMapped(m.GIDs, 0) {
		return nil
	}
	return specconv.Invalid(jsonpath.Index("linux.namespaces", n.Index)+".path", "the user namespace must map user 0 and group 0")
}

// checkUser rejects IDs of a process that its user namespace does not map.
func checkUser(m *IDMap, u *specs.User) error {
	if m == nil {
		return nil
	}
	if !isMapped(m.UIDs, u.UID) {
		return notMapped("process.user.uid", u.UID)
	}
	if !isMapped(m.GIDs, u.GID) {
		return notMapped("process.user.gid", u.GID)
	}
	for i, g := range u.AdditionalGids {
		if !isMapped(m.GIDs, g) {
			return notMapped(jsonpath.Index("process.user.additionalGids", i), g)
		}
	}
	return nil
}

func notMapped(field string, id uint32) error {
	return specconv.Invalid(field, "the user namespace does not map "+strconv.FormatUint(uint64(id), 10))
}
