package libcontainer

import "github.com/orlop/orlop/libcontainer/internal/host"

// HostInfo is what this host has, and what the caller may do. Encoded as JSON it is what `orlop
// info` prints.
type HostInfo = host.Info

// An Answer is "yes", "no", or "unknown" if the caller may not find out.
type Answer = host.Answer

// The answers.
const (
	Yes     = host.Yes
	No      = host.No
	Unknown = host.Unknown
)

// Info finds out about this host. It starts processes in user namespaces of their own, and criu(8)
// for its version. All of them end before it returns.
func Info() (*HostInfo, error) { return host.Gather() }
