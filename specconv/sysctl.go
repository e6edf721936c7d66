package specconv

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// SysctlPath returns the file of a kernel parameter below /proc/sys: "net/ipv4/ip_forward" for
// "net.ipv4.ip_forward". As in sysctl(8), the first "." or "/" is the separator, and the other
// character then stands for itself: "net/ipv4/conf/eth0.100/forwarding" and
// "net.ipv4.conf.eth0/100.forwarding" are the same. ok is false for a name with an empty part or
// "..".
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

// SysctlNamespace returns the namespace type that a kernel parameter, given by its file below
// /proc/sys, belongs to; "" for a global one.
func SysctlNamespace(file string) specs.LinuxNamespaceType {
	switch file {
	case "kernel/hostname", "kernel/domainname":
		return specs.UTSNamespace
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
		"kernel/shm_rmid_forced": // ipc_namespaces(7)
		return specs.IPCNamespace
	}
	switch group, _, _ := strings.Cut(file, "/"); {
	case group == "net":
		return specs.NetworkNamespace
	case group == "user":
		return specs.UserNamespace
	case strings.HasPrefix(file, "fs/mqueue/"):
		return specs.IPCNamespace
	}
	return ""
}

// sysctl checks linux.sysctl. Parameters of a namespace are set in the container's, which must not
// be the runtime's (the planner checks namespaces joined by path). All others would be set for the
// whole host, and are rejected.
func (c *checker) sysctl(parameters map[string]string) {
	if len(parameters) == 0 {
		return
	}
	for _, name := range sortedKeys(parameters) {
		here, value := jsonpath.Member("linux.sysctl", name), parameters[name]
		c.text(here, value)
		file, ok := SysctlPath(name)
		if !ok {
			c.fault(here, "is not a name of a kernel parameter")
			continue
		}
		kind := SysctlNamespace(file)
		switch {
		case kind == "":
			c.fault(here, "belongs to no namespace: the setting would apply to the host")
		case file == "kernel/hostname" && value != c.spec.Hostname:
			c.fault(here, "is set by hostname, which has another value")
		case file == "kernel/domainname" && c.spec.Domainname != "" && value != c.spec.Domainname:
			c.fault(here, "conflicts with domainname, which has another value")
		default:
			c.needs(kind, here)
		}
	}
}
