package setup

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// The order in which privileges are dropped, for a container's first process and for those that
// join it:
//
//	bounding    needs CAP_SETPCAP, so it comes first
//	user        groups, then group, then user: each needs a privilege that the next one gives up;
//	            capabilities survive it
//	capset      effective, permitted and inheritable
//	ambient     the kernel requires them to be permitted and inheritable
//	noNewPrivs  last: from then on file capabilities have no effect
//
// Verify enforces it.

// defaultLastCap is CAP_CHECKPOINT_RESTORE, the last capability known to this package.
const defaultLastCap = 40

// dropBounding removes capabilities from the bounding set.
type dropBounding struct {
	Keep uint64
	Last uint
}

func (dropBounding) kind() kind { return kind{phaseBounding, "drop", ""} }
func (d dropBounding) String() string {
	return "drop capabilities from the bounding set, all but " + capNames(d.Keep)
}

func (d dropBounding) lower(l *lowering) {
	for n := range d.Last + 1 {
		if d.Keep&(1<<n) == 0 {
			l.prctl(unix.PR_CAPBSET_DROP, nsenter.Int(n))
		}
	}
}

// setUser changes groups, group and user. Capabilities stay until setCapabilities.
type setUser struct {
	UID, GID   uint32
	Groups     []uint32
	KeepGroups bool // leave the additional groups as they are
	Dumpable   bool // see isolate
}

func (setUser) kind() kind { return kind{phaseUser, "set user", ""} }

func (s setUser) String() string {
	text := "set user " + strconv.FormatUint(uint64(s.UID), 10) + ", group " + strconv.FormatUint(uint64(s.GID), 10)
	if s.KeepGroups {
		return text + ", keep additional groups"
	}
	for i, g := range s.Groups {
		if i == 0 {
			text += ", additional groups"
		}
		text += " " + strconv.FormatUint(uint64(g), 10)
	}
	return text
}

func (s setUser) lower(l *lowering) {
	l.prctl(unix.PR_SET_KEEPCAPS, nsenter.Int(1))
	if !s.KeepGroups {
		groups := nsenter.Addr(0)
		if len(s.Groups) > 0 {
			groups = l.prog.Bytes(words(s.Groups...))
		}
		l.call(unix.SYS_SETGROUPS, nsenter.Int(len(s.Groups)), groups)
	}
	gid, uid := nsenter.Int(s.GID), nsenter.Int(s.UID)
	l.call(unix.SYS_SETRESGID, gid, gid, gid)
	l.call(unix.SYS_SETRESUID, uid, uid, uid)
	l.prctl(unix.PR_SET_KEEPCAPS)
	l.dumpable(s.Dumpable)
}

// setCapabilities sets the effective, permitted and inheritable sets.
type setCapabilities struct{ Effective, Permitted, Inheritable uint64 }

func (setCapabilities) kind() kind { return kind{phaseCapabilities, "set capabilities", ""} }

func (s setCapabilities) String() string {
	return "set capabilities: effective " + capNames(s.Effective) + "; permitted " + capNames(s.Permitted) +
		"; inheritable " + capNames(s.Inheritable)
}

func (s setCapabilities) lower(l *lowering) {
	low := func(m uint64) uint32 { return uint32(m & math.MaxUint32) }
	high := func(m uint64) uint32 { return uint32(m >> 32) }
	header := l.prog.Bytes(words(unix.LINUX_CAPABILITY_VERSION_3, 0))
	data := l.prog.Bytes(words(
		low(s.Effective), low(s.Permitted), low(s.Inheritable),
		high(s.Effective), high(s.Permitted), high(s.Inheritable)))
	l.call(unix.SYS_CAPSET, header, data)
}

// setAmbient sets the ambient set.
type setAmbient struct{ Ambient uint64 }

func (setAmbient) kind() kind       { return kind{phaseAmbient, "set capabilities", ""} }
func (s setAmbient) String() string { return "set ambient capabilities: " + capNames(s.Ambient) }

func (s setAmbient) lower(l *lowering) {
	l.prctl(unix.PR_CAP_AMBIENT, nsenter.Int(unix.PR_CAP_AMBIENT_CLEAR_ALL))
	for m := s.Ambient; m != 0; m &= m - 1 {
		l.prctl(unix.PR_CAP_AMBIENT, nsenter.Int(unix.PR_CAP_AMBIENT_RAISE), nsenter.Int(bits.TrailingZeros64(m)))
	}
}

// noNewPrivileges keeps the process and its children from gaining privileges.
type noNewPrivileges struct{}

func (noNewPrivileges) kind() kind { return kind{phaseNoNewPrivs, "set", "set no_new_privs"} }

func (noNewPrivileges) lower(l *lowering) {
	l.prctl(unix.PR_SET_NO_NEW_PRIVS, nsenter.Int(1))
}

// credentialSteps drops privileges to those of p.
func (b *builder) credentialSteps(p *specs.Process) {
	sets, _ := specconv.ParseCapabilities(p.Capabilities)
	last := b.facts.LastCap
	if last == 0 {
		last = defaultLastCap
	}
	have := b.facts.Grantable
	if have == 0 || b.inUser { // the process has all of them in its user namespace
		have = math.MaxUint64
	}
	have &= 1<<(last+1) - 1
	if lost := (sets.Effective | sets.Permitted | sets.Inheritable | sets.Ambient) &^ have; lost != 0 {
		b.note("process.capabilities: the runtime does not have " + capNames(lost) + ": left out")
	}
	b.add("process.capabilities.bounding", dropBounding{sets.Bounding, last})
	b.cwdStep(p, false)
	b.add("process.user", setUser{p.User.UID, p.User.GID, p.User.AdditionalGids, b.keepGroups(p), b.dumpable})
	b.cwdStep(p, true)
	final := setCapabilities{sets.Effective & have, sets.Permitted & have, sets.Inheritable & have}
	b.add("process.capabilities", b.retainAdmin(final, p))
	b.add("process.capabilities.ambient", setAmbient{sets.Ambient & have})
	if p.NoNewPrivileges {
		b.add("process.noNewPrivileges", noNewPrivileges{})
	}
}

// keepGroups reports whether the process keeps the runtime's additional groups. It does when it may
// not change them and the configuration lists none, as in an ordinary user's user namespace, and
// with the annotation that Podman sets for --group-add keep-groups.
func (b *builder) keepGroups(p *specs.Process) bool {
	if b.bundle != nil && b.bundle.Spec.Annotations[specconv.KeepGroups] == "1" {
		return true
	}
	return b.facts.SetgroupsDenied && len(p.User.AdditionalGids) == 0
}

// capNames names capabilities for messages.
func capNames(mask uint64) string {
	if mask == 0 {
		return "none"
	}
	names := specconv.CapabilityNames()
	var list []string
	for ; mask != 0; mask &= mask - 1 {
		n := bits.TrailingZeros64(mask)
		if n < len(names) {
			list = append(list, strings.TrimPrefix(names[n], "CAP_"))
		} else {
			list = append(list, strconv.Itoa(n))
		}
	}
	return strings.Join(list, " ")
}
