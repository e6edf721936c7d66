package main

import (
	"fmt"
	"os"
	"os/exec"
	stdruntime "runtime"
	"strings"
	"syscall"
	"time"
)

const (
	privateEnv         = "ORLOP_BENCH_PRIVATE"
	prSetChildSubreap  = 36 // PR_SET_CHILD_SUBREAPER
	unifiedMountpoint  = "/sys/fs/cgroup/unified"
	unmountNoFollow    = 8 // UMOUNT_NOFOLLOW
	mountinfoPath      = "/proc/self/mountinfo"
	cgroupMountsFolder = "/sys/fs/cgroup"
)

// enterPrivate moves the program into a private mount namespace, by executing itself again from a
// thread that has moved, and prepares it: on hybrid hosts the v2 hierarchy is covered, for all
// runtimes alike, because crun writes plain files there otherwise. The program becomes the reaper
// of containers' processes.
func enterPrivate() error {
	if os.Getenv(privateEnv) == "" {
		stdruntime.LockOSThread()
		if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make / private: %w", err)
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return syscall.Exec(self, os.Args, append(os.Environ(), privateEnv+"=1"))
	}
	if hybrid() {
		if err := syscall.Unmount(unifiedMountpoint, unmountNoFollow); err != nil {
			return fmt.Errorf("unmount %s: %w", unifiedMountpoint, err)
		}
		if err := syscall.Mount("tmpfs", unifiedMountpoint, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cover %s: %w", unifiedMountpoint, err)
		}
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetChildSubreap, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("become child subreaper: %w", errno)
	}
	return nil
}

// hybrid tells whether a v2 hierarchy is mounted beside those of v1.
func hybrid() bool {
	mounts, err := os.ReadFile(mountinfoPath)
	return err == nil && strings.Contains(string(mounts), " "+unifiedMountpoint+" ")
}

// host is where was measured.
type host struct {
	Date      time.Time `json:"date"`
	Kernel    string    `json:"kernel"`
	System    string    `json:"system"`
	CPU       string    `json:"cpu"`
	Cores     int       `json:"cores"`
	Cgroups   string    `json:"cgroups"`
	Hyperfine string    `json:"hyperfine"`
}

func hostFacts() host {
	h := host{Date: time.Now().UTC().Truncate(time.Second), Cores: stdruntime.NumCPU(), Cgroups: "v1"}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.Kernel = strings.TrimSpace(string(kernel)) + " " + stdruntime.GOARCH
	}
	h.System = field("/etc/os-release", "PRETTY_NAME", "=")
	h.CPU = field("/proc/cpuinfo", "model name", ":")
	if mounts, err := os.ReadFile(mountinfoPath); err == nil {
		switch {
		case strings.Contains(string(mounts), " "+unifiedMountpoint+" "):
			h.Cgroups = "hybrid (v2 hierarchy covered)"
		case strings.Contains(string(mounts), " "+cgroupMountsFolder+" "+"rw") && strings.Contains(string(mounts), " - cgroup2 "):
			h.Cgroups = "v2"
		}
	}
	if version, err := exec.Command("hyperfine", "--version").Output(); err == nil {
		h.Hyperfine = versionWord(string(version))
	}
	return h
}

// field returns the value of the first "NAME separator VALUE" line of a file.
func field(path, name, separator string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, separator); ok && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// versionWord takes the version from "NAME version VERSION" or "NAME VERSION".
func versionWord(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(first)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}
