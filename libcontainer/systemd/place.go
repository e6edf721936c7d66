package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// booted is there when systemd is the host's init (sd_booted(3)).
const booted = "/run/systemd/system"

const (
	systemAddress = "DBUS_SYSTEM_BUS_ADDRESS"
	userAddress   = "DBUS_SESSION_BUS_ADDRESS"
)

// Mine is the systemd that keeps the caller's units: root's is the host's, and others have one each.
func Mine() Bus {
	var st unix.Stat_t
	err := unix.Stat(booted, &st)
	return mine(os.Geteuid(), err == nil && st.Uid != 0)
}

// mine is Mine, given whether systemd's folder belongs to another user than root. Then the caller is root in a user namespace of an ordinary
// user's only, as Podman's are, and not of the systemd that has the folder; a container whose systemd is its own has a root's folder.
func mine(euid int, foreign bool) Bus {
	if euid != 0 || foreign {
		return User
	}
	return System
}

// UserID is the caller's user as the host, and so its systemd, knows them: in a user namespace they may have another id.
func UserID() int {
	uidMap, err := os.ReadFile("/proc/self/uid_map")
	if err != nil { // a kernel without user namespaces
		return os.Geteuid()
	}
	return hostID(os.Geteuid(), string(uidMap))
}

func hostID(id int, idMap string) int {
	for line := range strings.Lines(idMap) {
		var inside, outside, size int
		if n, _ := fmt.Sscan(line, &inside, &outside, &size); n == 3 && id >= inside && id-inside < size {
			return outside + id - inside
		}
	}
	return id
}

// A place is a socket where systemd can be met.
type place struct {
	path   string // an abstract one begins with "@"
	broker bool   // a bus listens there
	err    error  // why the place cannot be told
}

// places lists where a systemd can be met, the best first.
func places(b Bus, getenv func(string) string) []place {
	if b == System {
		if address := getenv(systemAddress); address != "" {
			return addresses(systemAddress, address)
		}
		return []place{{path: "/run/systemd/private"}, {path: "/run/dbus/system_bus_socket", broker: true}}
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(UserID())
	}
	list := []place{{path: dir + "/systemd/private"}}
	if address := getenv(userAddress); address != "" {
		return append(list, addresses(userAddress, address)...)
	}
	return append(list, place{path: dir + "/bus", broker: true})
}

// addresses reads a list of addresses of a bus: "unix:path=/run/bus,guid=...;unix:abstract=/tmp/x" (dbus-specification.html, "Server Addresses").
func addresses(variable, list string) []place {
	var found []place
	for address := range strings.SplitSeq(list, ";") {
		if address == "" {
			continue
		}
		path, err := socketPath(address)
		if err != nil {
			err = fmt.Errorf("$%s: %q: %w", variable, address, err)
		}
		found = append(found, place{path: path, broker: true, err: err})
	}
	return found
}

func socketPath(address string) (string, error) {
	transport, options, _ := strings.Cut(address, ":")
	if transport != "unix" {
		return "", fmt.Errorf("must be unix:path=PATH or unix:abstract=NAME")
	}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		if key != "path" && key != "abstract" {
			continue
		}
		value, err := unescapeAddress(value)
		if key == "abstract" {
			value = "@" + value
		}
		return value, err
	}
	return "", fmt.Errorf("must have a path")
}

// unescapeAddress undoes %20 and the like.
func unescapeAddress(s string) (string, error) {
	before, rest, found := strings.Cut(s, "%")
	if !found {
		return s, nil
	}
	if len(rest) < 2 {
		return "", fmt.Errorf("%%%s is no character", rest)
	}
	c, err := strconv.ParseUint(rest[:2], 16, 8)
	if err != nil {
		return "", fmt.Errorf("%%%s is no character", rest[:2])
	}
	after, err := unescapeAddress(rest[2:])
	return before + string([]byte{byte(c)}) + after, err
}
