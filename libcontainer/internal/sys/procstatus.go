package sys

import (
	"fmt"
	"strconv"
	"strings"
)

// InnerPid returns the PID of a process in its own PID namespace.
func InnerPid(pid int) (int, error) {
	pids, err := statusField(strconv.Itoa(pid), "NSpid")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(pids)
	return strconv.Atoi(fields[len(fields)-1])
}

// Umask returns the umask of this process. umask(2) would change it for other threads.
func Umask() (uint32, error) {
	text, err := statusField("self", "Umask")
	if err != nil {
		return 0, err
	}
	mask, err := strconv.ParseUint(text, 8, 32)
	return uint32(mask), err
}

// statusField returns a field of /proc/PID/status.
func statusField(pid, name string) (string, error) {
	path := "/proc/" + pid + "/status"
	data, err := ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s: no %s", path, name)
}
