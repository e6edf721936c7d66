package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// booted is there when systemd is the host's init (sd_booted(3)).
const booted = "/run/systemd/system"

const (
	systemAddress = "DBUS_SYSTEM_BUS_ADDRESS"
	userAddress   = "DBUS_SESSION_BUS_ADDRESS"
)

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
		dir = "/run/user/" + strconv.Itoa(os.Geteuid())
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
