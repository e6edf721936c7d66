package specconv

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SysctlPath returns the file of a kernel parameter below /proc/sys: "net/ipv4/ip_forward" for "net.ipv4.ip_forward". As
// sysctl(8) has it, the first separator decides which of "." and "/" separates, and the other one stands for itself:
// "net/ipv4/conf/eth0.100/forwarding" and "net.ipv4.conf.eth0/100.forwarding" are one. ok is false for what
// is no such name, one with empty parts or with ".." among them.
func SysctlPath(name string) (path string, ok bool) {
	b := []byte(name)
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		for i, c := range b {
			switch c {
			case '.':
				b[i] = '/'
			case '/':
				b[i] = '.'
			}
		}
	}
	path = string(b)
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." || hasNUL(part) {
			return "", false
		}
	}
	return path, true
}

// sysctl checks linux.sysctl. Parameters that belong to a namespace are set in that of the container, which must not be
// the runtime's; all others would be set for the whole host, and are refused.
func (c *checker) sysctl(parameters map[string]string) {
	if len(parameters) == 0 {
		return
	}
	for _, name := range sortedKeys(parameters) {
		here := under("linux.sysctl", name)
		c.text(here, parameters[name])
		p, ok := SysctlPath(name)
		switch {
		case !ok:
			c.fault(here, "is not a name of a kernel parameter")
		case strings.HasPrefix(p, "net/"):
			c.needs(specs.NetworkNamespace, here)
		case strings.HasPrefix(p, "fs/mqueue/") || ipcSysctl(p):
			c.needs(specs.IPCNamespace, here)
		case p == "kernel/domainname":
			c.needs(specs.UTSNamespace, here)
			if c.spec.Domainname != "" {
				c.fault(here, "conflicts with domainname")
			}
		case p == "kernel/hostname":
			c.fault(here, "is set by hostname")
		default:
			c.fault(here, "belongs to no namespace: it would be set for the host")
		}
	}
}

// ipcSysctl reports whether a parameter belongs to the IPC namespace (ipc_namespaces(7)).
func ipcSysctl(p string) bool {
	switch p {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
		"kernel/shm_rmid_forced":
		return true
	}
	return false
}
