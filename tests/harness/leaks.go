package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// leakTimeout is how long effects of a command may last after it. A leak makes its test take as
// long.
const leakTimeout = 30 * time.Second

// close kills the test's remaining processes, deletes its containers and looks for leaks.
func (b *Box) close() {
	b.T.Helper()
	for _, pipe := range b.pipes {
		pipe.Close()
	}
	b.deleteAll()
	for _, p := range b.running {
		if p.result == nil {
			p.cmd.Process.Kill()
			p.Wait()
		}
	}
	b.deleteAll() // created by a command before it was killed
	defer shared.drop(b)
	for _, leak := range b.leaks() {
		b.T.Errorf("left behind: %s", leak)
	}
	for _, f := range b.after {
		f()
	}
	// Nothing may be removed through a mount.
	if left := unmountBelow(b.Dir); left == nil {
		if err := os.RemoveAll(b.Dir); err != nil {
			b.T.Errorf("remove the test's directory: %v", err)
		}
	}
}

// deleteAll deletes the containers in --root.
func (b *Box) deleteAll() {
	b.T.Helper()
	entries, err := os.ReadDir(b.Root)
	if err != nil {
		return // no container was ever made
	}
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			if r := b.Do("delete", "--force", entry.Name()); r.Status != 0 {
				b.T.Errorf("delete --force %s: %s", entry.Name(), r.Stderr)
			}
		}
	}
}

// CheckClean fails the test if anything of the container is left. It is for tests of failures that
// must leave nothing, before the cleanup runs.
func (b *Box) CheckClean() {
	b.T.Helper()
	for _, leak := range b.leaks() {
		b.T.Errorf("left behind: %s", leak)
	}
}

// leaks describes what is left of the test's containers.
func (b *Box) leaks() []string {
	found := left(leakTimeout, b.accounted)
	mounts, err := MountsBelow(b.Dir)
	if err != nil {
		found = append(found, err.Error())
	}
	for _, mount := range mounts {
		found = append(found, "mount "+mount)
	}
	for _, hierarchy := range shared.cgroups {
		path := filepath.Join(hierarchy, b.Cgroup)
		if _, err := os.Stat(path); err == nil {
			found = append(found, "cgroup "+path)
			os.Remove(path)
		}
	}
	if entries, err := os.ReadDir(b.Root); err == nil {
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") {
				found = append(found, "state "+entry.Name())
			}
		}
	}
	return append(found, waitHolders(b.Dir, leakTimeout)...)
}

// accounted reports whether a process is a command that still runs, or belongs to another box that
// is in use.
func (b *Box) accounted(pid int) bool {
	cgroups, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return true // gone
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, box := range shared.boxes {
		if slices.ContainsFunc(box.running, func(p *Process) bool { return p.Pid == pid && p.result == nil }) {
			return true
		}
		if box != b && (strings.Contains(string(cgroups), box.Cgroup+"\n") || box.UID != 0 && owner(pid) == box.UID) {
			return true
		}
	}
	return false
}

// owner returns the user of a process, 0 when it has gone.
func owner(pid int) int {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid)+"/task", &st) != nil {
		return 0
	}
	return int(st.Uid)
}

// describe describes a process by its command line.
func describe(pid int) string {
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return strings.TrimSpace(fmt.Sprintf("%d %s", pid, strings.ReplaceAll(string(line), "\x00", " ")))
}

// waitHolders waits until no process has a file below dir open, and describes those that do
// after the time limit. A process that is not below this one may exit a moment after the command
// that caused it, such as one that closes a systemd unit's PAM session, and no event reports that.
func waitHolders(dir string, limit time.Duration) []string {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if found := holders(dir); len(found) == 0 || time.Now().After(deadline) {
			return found
		}
	}
}

// holders describes the other processes that have a file below dir open. Processes from before all
// tests cannot have any.
func holders(dir string) []string {
	var found []string
	for _, pid := range processes() {
		if shared.before[pid] {
			continue
		}
		fds := "/proc/" + strconv.Itoa(pid) + "/fd"
		entries, err := os.ReadDir(fds)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			if path, err := os.Readlink(filepath.Join(fds, entry.Name())); err == nil && strings.HasPrefix(path, dir+"/") {
				found = append(found, "descriptor "+entry.Name()+" of process "+describe(pid)+" on "+path)
			}
		}
	}
	return found
}

// MountsBelow lists the mount points at or below dir ("": all of them), in the order in which they
// were made.
func MountsBelow(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			found = append(found, fields[4])
		}
	}
	return found, nil
}

// unmountBelow unmounts everything at or below dir, and returns an error if something stays.
func unmountBelow(dir string) error {
	mounts, err := MountsBelow(dir)
	if err != nil {
		return err
	}
	for _, mount := range slices.Backward(mounts) {
		if err := unix.Unmount(mount, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", mount, err)
		}
	}
	return nil
}

// cgroupMounts lists the mount points of all cgroup hierarchies.
func cgroupMounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		left, right, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(left), strings.Fields(right)
		if len(fields) > 4 && len(kind) > 0 && (kind[0] == "cgroup" || kind[0] == "cgroup2") {
			found = append(found, fields[4])
		}
	}
	return found, nil
}

// coverUnified hides the v2 hierarchy of a hybrid host: crun 1.8 writes plain files there.
func coverUnified() error {
	const path = "/sys/fs/cgroup/unified"
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	if err := unix.Unmount(path, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return unix.Mount("tmpfs", path, "tmpfs", 0, "")
}

// CgroupMount returns where the hierarchy of these controllers is mounted, by its name in
// /proc/PID/cgroup: "cpu,cpuacct", "name=systemd", "" for v2's. It returns "" if that isn't
// mounted.
func CgroupMount(controllers string) string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		left, right, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(left), strings.Fields(right)
		if len(fields) < 5 || len(kind) < 3 {
			continue
		}
		if controllers == "" && kind[0] == "cgroup2" {
			return fields[4]
		}
		if controllers == "" || kind[0] != "cgroup" {
			continue
		}
		options, all := strings.Split(kind[2], ","), true
		for controller := range strings.SplitSeq(controllers, ",") {
			all = all && slices.Contains(options, controller)
		}
		if all {
			return fields[4]
		}
	}
	return ""
}

// Left waits until no process is left below this one, and describes and kills those that still run
// after the time limit. It is for tests without a box.
func Left(limit time.Duration) []string { return left(limit, func(int) bool { return false }) }

func left(limit time.Duration, ignore func(pid int) bool) []string {
	var found []string
	for _, pid := range shared.reaper.waitNone(limit, ignore) {
		found = append(found, "process "+describe(pid))
		unix.Kill(pid, unix.SIGKILL)
	}
	return found
}
