package systemd

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// booted exists if systemd is the host's init (sd_booted(3)).
const booted = "/run/systemd/system"

const (
	systemAddress = "DBUS_SYSTEM_BUS_ADDRESS"
	userAddress   = "DBUS_SESSION_BUS_ADDRESS"
)

// CallersBus returns the systemd that manages the caller's units: root's is the host's, and every
// other user has one.
func CallersBus() Bus {
	var st unix.Stat_t
	err := unix.Stat(booted, &st)
	return callersBus(os.Geteuid(), err == nil && st.Uid != 0)
}

// callersBus is CallersBus, given whether systemd's directory belongs to another user than root.
// Then the caller is only root in an ordinary user's user namespace, such as Podman's, and not root
// of the systemd that owns the directory. In a container with its own systemd, the directory
// belongs to root.
func callersBus(euid int, foreign bool) Bus {
	if euid != 0 || foreign {
		return User
	}
	return System
}

// UserID returns the caller's user ID on the host, which the host's systemd uses: in a user
// namespace the caller may have another ID.
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

// An endpoint is a socket for connections to systemd.
type endpoint struct {
	path   string // an abstract one begins with "@"
	broker bool   // a bus listens there
	err    error  // the error in the address
}

// endpoints lists the sockets of a systemd, in order of preference.
func endpoints(b Bus, getenv func(string) string) []endpoint {
	if b == System {
		if address := getenv(systemAddress); address != "" {
			return parseAddresses(systemAddress, address)
		}
		return []endpoint{{path: "/run/systemd/private"}, {path: "/run/dbus/system_bus_socket", broker: true}}
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(UserID())
	}
	list := []endpoint{{path: dir + "/systemd/private"}}
	if address := getenv(userAddress); address != "" {
		return append(list, parseAddresses(userAddress, address)...)
	}
	return append(list, endpoint{path: dir + "/bus", broker: true})
}

// parseAddresses parses a list of a bus's addresses:
// "unix:path=/run/bus,guid=...;unix:abstract=/tmp/x" (dbus-specification.html, "Server Addresses").
func parseAddresses(variable, list string) []endpoint {
	var found []endpoint
	for address := range strings.SplitSeq(list, ";") {
		if address == "" {
			continue
		}
		path, err := socketPath(address)
		if err != nil {
			err = fmt.Errorf("$%s: %q: %w", variable, address, err)
		}
		found = append(found, endpoint{path: path, broker: true, err: err})
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
		value, err := url.PathUnescape(value)
		if bad, ok := errors.AsType[url.EscapeError](err); ok {
			err = fmt.Errorf("%s is not a character", string(bad))
		}
		if key == "abstract" {
			value = "@" + value
		}
		return value, err
	}
	return "", fmt.Errorf("must have a path")
}
