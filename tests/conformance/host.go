package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// host is where the suite runs, as far as results depend on it.
type host struct {
	Date    time.Time `json:"date"`
	Kernel  string    `json:"kernel"`
	System  string    `json:"system"`
	Cgroups string    `json:"cgroups"`
	Go      string    `json:"go"`      // which built the suite
	Lacking []string  `json:"lacking"` // capabilities that the suite's caller lacks
}

func hostFacts() (host, error) {
	h := host{Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Cgroups: "v2"}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return h, err
	}
	h.Kernel = strings.TrimSpace(string(kernel))
	if release, err := os.ReadFile("/etc/os-release"); err == nil {
		h.System = value(string(release), "PRETTY_NAME", "=")
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return h, err
	}
	if list := parseHierarchies(string(mountinfo)); len(list) > 0 && list[0].name != "" {
		h.Cgroups = "v1"
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return h, err
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return h, err
	}
	h.Lacking, err = lackingCapabilities(value(string(status), "CapBnd", ":"), strings.TrimSpace(string(last)))
	return h, err
}

// lackingCapabilities names the capabilities of the kernel that are not in a set.
func lackingCapabilities(set, last string) (names []string, err error) {
	have, err := strconv.ParseUint(set, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("capabilities %q: %w", set, err)
	}
	n, err := strconv.Atoi(last)
	if err != nil {
		return nil, fmt.Errorf("last capability %q: %w", last, err)
	}
	for i, name := range capabilities() {
		if i <= n && have&(1<<i) == 0 {
			names = append(names, "CAP_"+name)
		}
	}
	return names, nil
}

// capabilities lists those of Linux in the order of their numbers.
func capabilities() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
		NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
		SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
		MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
}

// value returns the value of a file's first line "NAME separator VALUE".
func value(text, name, separator string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, separator); ok && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// versionOf asks a runtime for its version: the last word of the first line.
func versionOf(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	words := strings.Fields(first)
	if len(words) == 0 {
		return "", fmt.Errorf("%s --version: says nothing", path)
	}
	return words[len(words)-1], nil
}
