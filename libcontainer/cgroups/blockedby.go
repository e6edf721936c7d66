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
	name, state := stateOf(proc)
	// The first thread may have exited before the others.
	thread := proc
	entries, _ := os.ReadDir(proc + "/task")
	for _, e := range entries {
		if _, s := stateOf(proc + "/task/" + e.Name()); s != "" && s != "Z" && (state == "Z" || s == "D") {
			thread, state = proc+"/task/"+e.Name(), s
		}
	}
	if state == "" || state == "Z" {
		return ""
	}
	text := fmt.Sprintf("process %d (%s) is %s", pid, name, stateName(state))
	if wchan, err := readFile(thread + "/wchan"); err == nil && wchan != "" && wchan != "0" {
		text += ", waits in the kernel's " + wchan
	}
	if dir := frozenBy(pid); dir != "" {
		text += ", frozen by cgroup " + dir
	}
	return text
}

// stateOf returns the name and the state of a process or thread; "" when it is gone.
func stateOf(proc string) (name, state string) {
	p, err := sys.StatDir(proc)
	if err != nil {
		return "", ""
	}
	return p.Name, string(p.State)
}

// stateName explains a letter of proc_pid_stat(5).
func stateName(letter string) string {
	switch letter {
	case "R":
		return "running (R)"
	case "S":
		return "sleeping (S)"
	case "D":
		return "in an uninterruptible sleep (D)"
	case "T":
		return "stopped by a signal (T)"
	case "t":
		return "stopped by a tracer (t)"
	}
	return "in state " + letter
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
