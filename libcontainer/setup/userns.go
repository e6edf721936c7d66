package setup

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// UserNamespaceFile is the user namespace that the process joins: a new one, too, is made by the runtime before the process.
const UserNamespaceFile nsenter.FD = "user namespace"

// An IDMap says which ids of a user namespace stand for which ones of the runtime's.
type IDMap struct{ UIDs, GIDs []specs.LinuxIDMapping }

func (m *IDMap) hasRoot() bool { return maps(m.UIDs, 0) && maps(m.GIDs, 0) }

func maps(list []specs.LinuxIDMapping, id uint32) bool {
	for _, m := range list {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return true
		}
	}
	return false
}

// UserNamespace returns the map of a container's user namespace: that of the configuration for a new one, that of the facts for one that
// is joined.
func UserNamespace(b *specconv.Bundle, f *Facts) *IDMap {
	if n, ok := b.Namespace(specs.UserNamespace); ok && n.Path == "" {
		return &IDMap{b.Spec.Linux.UIDMappings, b.Spec.Linux.GIDMappings}
	}
	return f.Users
}

// joinUser joins the container's user namespace, in which the process then has all capabilities. Its ids are still those that it had
// outside, which are no one's in there.
type joinUser struct {
	Path string // "" for a new one
	Map  *IDMap // of a new one
}

func (joinUser) Verb() string  { return "join" }
func (joinUser) phase() phase  { return phaseJoin }
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

// idList is for people: "0-65535 as 100000-165535".
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

// becomeUser takes ids of the user namespace that was just joined, so that what the process makes belongs to its root. Capabilities stay.
type becomeUser struct {
	UID, GID uint32
	Dumpable bool // see isolate
}

func (becomeUser) Verb() string        { return "become" }
func (becomeUser) Needs() []Descriptor { return nil }
func (becomeUser) phase() phase        { return phaseJoin }

func (s becomeUser) String() string {
	return "become user " + strconv.FormatUint(uint64(s.UID), 10) + ", group " + strconv.FormatUint(uint64(s.GID), 10) + " of the user namespace"
}

func (s becomeUser) lower(l *lowering) {
	gid, uid := nsenter.Int(s.GID), nsenter.Int(s.UID)
	l.call(unix.SYS_SETRESGID, gid, gid, gid)
	l.call(unix.SYS_SETRESUID, uid, uid, uid)
	l.dumpable(s.Dumpable)
}

// becomeStep appends the change to the root of a user namespace, or where it maps none, to the user of p.
func (b *builder) becomeStep(m *IDMap, p *specs.Process) {
	become := becomeUser{Dumpable: b.dumpable}
	if m != nil && !m.hasRoot() {
		if p == nil {
			return // a hook: it stays who it is
		}
		become.UID, become.GID = p.User.UID, p.User.GID
	}
	b.add("", become)
}

// checkUser finds ids of a process that its user namespace does not map.
func checkUser(m *IDMap, u *specs.User) error {
	if m == nil {
		return nil
	}
	if !maps(m.UIDs, u.UID) {
		return notMapped("process.user.uid", u.UID)
	}
	if !maps(m.GIDs, u.GID) {
		return notMapped("process.user.gid", u.GID)
	}
	for i, g := range u.AdditionalGids {
		if !maps(m.GIDs, g) {
			return notMapped(element("process.user.additionalGids", i), g)
		}
	}
	return nil
}

func notMapped(field string, id uint32) error {
	return specconv.Fault{Path: field, Problem: "the user namespace does not map " + strconv.FormatUint(uint64(id), 10)}
}
