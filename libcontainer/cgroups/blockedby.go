package cgroups

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// BlockedBy describes what keeps processes from running or exiting: their states, where in the
// kernel they wait, and which cgroup froze them. It is for messages, and reports what it can; of
// many processes it names a few.
func BlockedBy(pids ...int) string {
	const most = 5
	var texts []string
	for _, pid := range pids {
		if text := blockedBy(pid); text != "" {
			texts = append(texts, text)
		}
	}
	switch n := len(texts); {
	case n == 0:
		return "no process is left"
	case n > most:
		texts = append(texts[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(texts, "; ")
}

// blockedBy is BlockedBy for one process, and returns "" for one that has exited.
func blockedBy(pid int) string {
	proc := "/proc/" + strconv.Itoa(pid)
	p, _ := sys.StatDir(proc) // zero for one that is gone
	// The first thread may have exited before the others.
	thread, state := proc, p.State
	entries, _ := os.ReadDir(proc + "/task")
	for _, e := range entries {
		dir := proc + "/task/" + e.Name()
		if t, err := sys.StatDir(dir); err == nil && !t.Dead() && (state == 'Z' || t.State == 'D') {
			thread, state = dir, t.State
		}
	}
	if state == 0 || state == 'Z' {
		return ""
	}
	text := fmt.Sprintf("process %d (%s) is %s", pid, p.Name, stateName(state))
	if wchan, err := readFile(thread + "/wchan"); err == nil && wchan != "" && wchan != "0" {
		text += ", waits in the kernel's " + wchan
	}
	if dir := frozenBy(pid); dir != "" {
		text += ", frozen by cgroup " + dir
	}
	return text
}

// stateName explains a letter of proc_pid_stat(5).
func stateName(letter byte) string {
	names := map[byte]string{
		'R': "running", 'S': "sleeping", 'D': "in an uninterruptible sleep", 'T': "stopped by a signal", 't': "stopped by a tracer",
	}
	if name := names[letter]; name != "" {
		return fmt.Sprintf("%s (%c)", name, letter)
	}
	return "in state " + string(rune(letter))
}

// frozenBy returns the directory of the nearest cgroup, from the process's own upwards, that is
// itself frozen; "" when there is none.
func frozenBy(pid int) string {
	layout, err := layoutOf(strconv.Itoa(pid))
	if err != nil {
		return ""
	}
	own := layout.OwnPaths()
	for _, f := range []struct{ key, file string }{{"freezer", "/freezer.self_freezing"}, {"", "/cgroup.freeze"}} {
		for dir := own[f.key]; strings.Count(dir, "/") > 1; dir = path.Dir(dir) {
			value, err := readFile(dir + f.file)
			if err != nil {
				break // the root of a hierarchy has no such file
			}
			if strings.HasPrefix(value, "1") {
				return dir
			}
		}
	}
	return ""
}
