package host

import (
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// Streams are the standard streams of a process; a nil file is /dev/null.
type Streams struct {
	Files     [3]*os.File
	Shared    bool // the caller keeps using them
	KeepOwner bool // regular files keep their owner
}

// StreamFacts inspects the standard streams of a process. users is the map of its user namespace,
// nil for the runtime's. relayed marks the outputs that must be copied from pipes: the caller keeps
// the files, and the process's user could not reopen them.
func StreamFacts(p *specs.Process, s Streams, users *setup.IDMap) (facts setup.StreamFacts, relayed [3]bool) {
	if p == nil || p.Terminal {
		return facts, relayed
	}
	facts.Owner = p.User.UID
	if users != nil {
		facts.Owner, _ = specconv.HostID(users.UIDs, p.User.UID) // the planner rejects an unmapped user
	}
	for i, f := range s.Files {
		if f == nil {
			facts.Null[i] = true // see nsenter.Start
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) != nil {
			continue // passing it on fails later, with an error that names the stream
		}
		foreign := st.Uid != facts.Owner
		closed := s.Shared && i > 0 && foreign && st.Mode&0o002 == 0
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			// Other devices than the null device, such as the caller's terminal, belong to the host
			// and keep their owner.
			facts.Null[i] = st.Rdev == unix.Mkdev(1, 3)
			relayed[i] = closed && !facts.Null[i]
		case unix.S_IFIFO, unix.S_IFSOCK:
			facts.Given[i] = foreign
		case unix.S_IFREG:
			facts.Given[i] = foreign && !s.Shared && !s.KeepOwner
			relayed[i] = closed
		}
		facts.Given[i] = facts.Given[i] || relayed[i]
	}
	return facts, relayed
}
