package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A fact is something that a case shows under one runtime. Facts of a call are compared only if all
// earlier calls ended alike; those of no call (0) always.
type fact struct {
	Call       int
	Key, Value string
}

// An observation is all that a case shows under one runtime, and a readable list of the calls.
type observation struct {
	Facts []fact
	Log   []string

	calls int
}

// add records a fact of the last call.
func (o *observation) add(key, value string) {
	o.Facts = append(o.Facts, fact{o.calls, key, value})
}

// left records a fact of the end.
func (o *observation) left(key, value string) {
	o.Facts = append(o.Facts, fact{0, key, value})
}

// errorClasses are the words in errors that engines and scripts match on.
func errorClasses() []string {
	return []string{"executable file not found", "no such file or directory", "permission denied", "not a directory", "is a directory",
		"does not exist", "not running", "already exists", "exec format error", "operation not permitted"}
}

// warningLine matches a line that is a warning and not the runtime's error.
var warningLine = regexp.MustCompile(`(?m)^.*(level=warning|warning:).*$`)

// classOf returns the class of an error's text.
func classOf(text string) string {
	var found []string
	text = warningLine.ReplaceAllString(strings.ToLower(text), "")
	for _, words := range errorClasses() {
		if strings.Contains(text, words) {
			found = append(found, words)
		}
	}
	return strings.Join(found, ", ")
}

// call records a command and its end.
func (o *observation) call(name string, args []string, status int, stuck bool, out, errs string, parse bool) {
	o.calls++
	o.Log = append(o.Log, fmt.Sprintf("%s: status %d\n%s", strings.Join(args, " "), status, indent(errs)))
	o.add(name+": status", strconv.Itoa(status))
	if stuck {
		o.Log = append(o.Log, "stuck after:\n"+indent(out[max(0, len(out)-300):]))
		o.add(name+": stuck", "yes")
	}
	if status != 0 {
		o.add(name+": error", classOf(errs))
	}
	if !parse {
		return
	}
	switch {
	case strings.Contains(out, "== start"):
		o.probe(name, out)
	case args[0] == "state" && status == 0:
		o.state(name, out)
	case args[0] == "ps":
		o.add(name+": lines", strconv.Itoa(strings.Count(out, "\n")))
	case args[0] == "exec" && status == 0:
		o.add(name+": output", out)
	}
}

// stuck reports whether a command exceeded its timeout.
func (o *observation) stuck() bool {
	return slices.ContainsFunc(o.Facts, func(f fact) bool { return strings.HasSuffix(f.Key, ": stuck") })
}

// ran reports whether the container's process has printed something.
func (o *observation) ran() bool {
	return slices.ContainsFunc(o.Facts, func(f fact) bool { return strings.HasPrefix(f.Key, "container: ") })
}

func indent(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return "\t" + strings.ReplaceAll(text, "\n", "\n\t") + "\n"
}

// state records what the command of this name printed.
func (o *observation) state(name, out string) {
	var s map[string]any
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		o.add(name+": state", err.Error())
		return
	}
	for _, field := range []string{"id", "status", "bundle", "ociVersion", "annotations"} {
		if text, err := json.Marshal(s[field]); err == nil {
			o.add(name+": "+field, string(text))
		}
	}
}

// probe records what the probe printed, or what was printed in its place.
func (o *observation) probe(name, text string) {
	if !strings.Contains(text, "== start") {
		o.add(name+": output", text)
		return
	}
	o.add(name+": ends", fmt.Sprint(strings.Contains(text, "== end")))
	o.add(name+": carriage returns", fmt.Sprint(strings.Contains(text, "\r\n")))
	for part := range strings.SplitSeq("\n"+lineEnd.ReplaceAllString(text, "\n"), "\n== ") {
		section, lines, _ := strings.Cut(part, "\n")
		seen := map[string]int{}
		for line := range strings.SplitSeq(lines, "\n") {
			key, value := splitFact(section, line)
			if key == "" && value == "" {
				continue
			}
			seen[key]++
			if n := seen[key]; n > 1 {
				key += " #" + strconv.Itoa(n)
			}
			o.add(name+": "+section+" "+key, value)
		}
	}
}

var (
	lineEnd    = regexp.MustCompile(`\r*\n`) // of a terminal, or of one in another
	ownProcess = regexp.MustCompile(`/proc/\d+/`)
	anonymous  = regexp.MustCompile(`(pipe|socket|anon_inode):\[\w*\]`)
	ids        = regexp.MustCompile(`(shared|master|propagate_from):\d+`)
	longName   = regexp.MustCompile(`[0-9a-f]{16,}`)
)

// unstable are the lines of /proc/PID/status that differ between two runs of anything.
var unstable = regexp.MustCompile(`^(Pid|Tgid|PPid|Ngid|NSpid|NStgid|NSpgid|NSsid|TracerPid|Vm\w+|Rss\w+|\w*ctxt_switches|Threads|SigQ|HugetlbPages|FDSize|Mems_allowed|State)$`)

// splitFact divides a line of a section into the name of a fact and its value.
func splitFact(section, line string) (key, value string) {
	switch section {
	case "links":
		return splitLink(line)
	case "mountinfo":
		return splitMount(line)
	case "nodes", "tree":
		name, rest, _ := strings.Cut(line, "|")
		return name, rest
	case "files":
		path, text, _ := strings.Cut(line, ":")
		if path == "limits" && len(text) > 26 {
			return "limits " + strings.TrimSpace(text[:26]), strings.Join(strings.Fields(text[26:]), " ")
		}
		if path == "status" {
			name, rest, _ := strings.Cut(text, ":")
			if unstable.MatchString(name) {
				return "", ""
			}
			return "status " + name, strings.Join(strings.Fields(rest), " ")
		}
		if path == "cgroup" {
			parts := strings.SplitN(text, ":", 3)
			if len(parts) < 3 || !mounted(parts[1]) {
				return "", ""
			}
			return "cgroup " + parts[1], parts[2]
		}
		if path == "/proc/keys" {
			parts := strings.Fields(text)
			if len(parts) < 9 || !strings.Contains(text, "$ID") {
				return "", "" // another's
			}
			return "session keyring", longName.ReplaceAllString(strings.Join(parts[4:9], " "), "HEX")
		}
		return path, text
	case "environ", "start", "":
		return "", strings.TrimSpace(ownProcess.ReplaceAllString(line, "/proc/self/"))
	}
	key, value, _ = strings.Cut(line, ": ")
	return key, ownProcess.ReplaceAllString(value, "/proc/self/")
}

// splitLink reads what the probe prints of a link.
func splitLink(line string) (key, value string) {
	key, value, _ = strings.Cut(line, "|")
	return key, anonymous.ReplaceAllString(ownProcess.ReplaceAllString(value, "/proc/self/"), "$1")
}

func splitMount(line string) (key, value string) {
	left, right, ok := strings.Cut(line, " - ")
	parts := strings.Fields(left)
	if !ok || len(parts) < 6 {
		return "", line
	}
	if kind, rest, ok := strings.Cut(right, " "); ok && kind == "cgroup" {
		_, options, _ := strings.Cut(rest, " ")
		right = kind + " " + options // a source is a name only
	}
	return parts[4], fmt.Sprintf("%s %s %s - %s", parts[3], parts[5], ids.ReplaceAllString(strings.Join(parts[6:], " "), "$1"), right)
}

// normal removes from a text what belongs to the run and not to the case.
func (r *runner) normal(text string) string {
	for file, label := range r.namespaces() {
		text = strings.ReplaceAll(text, file, label)
	}
	text = newNamespace.ReplaceAllString(text, "$1:new")
	return strings.NewReplacer(r.dir, "$DIR", r.cgroup, "$CGROUP", r.id, "$ID").Replace(text)
}

var newNamespace = regexp.MustCompile(`\b(cgroup|ipc|mnt|net|pid|time|user|uts|pid_for_children|time_for_children):\[\d+\]`)

// namespaces names those that are known: the host's, and those to join.
func (r *runner) namespaces() map[string]string {
	known := map[string]string{}
	add := func(pid, label string) {
		entries, _ := os.ReadDir("/proc/" + pid + "/ns")
		for _, e := range entries {
			if target, err := os.Readlink("/proc/" + pid + "/ns/" + e.Name()); err == nil {
				kind, _, _ := strings.Cut(target, ":")
				known[target] = kind + ":" + label
			}
		}
	}
	if r.helper != nil {
		add(strconv.Itoa(r.helper.Process.Pid), "joined")
	}
	add("self", "host")
	return known
}

// outside records what the host sees of the running container: its cgroups and their files.
func (r *runner) outside(when string) {
	if r.container == 0 {
		return
	}
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", r.container))
	if err != nil {
		r.seen.add("cgroups", "gone")
		return
	}
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if !mounted(parts[1]) {
			continue
		}
		r.seen.add("cgroup "+parts[1], r.normal(parts[2]))
		if parts[2] == "/" || r.kind == "crun" && parts[1] == "" && hybrid() {
			continue
		}
		dir := filepath.Join(cgroupMount(parts[1]), parts[2])
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if f.IsDir() || !setting.MatchString(f.Name()) {
				continue
			}
			if data, err := os.ReadFile(filepath.Join(dir, f.Name())); err == nil && len(data) < 4096 {
				lines := strings.Split(strings.TrimSpace(string(data)), "\n")
				slices.Sort(lines)
				r.seen.add(when+" cgroup file "+f.Name(), strings.Join(lines, "; "))
			}
		}
	}
}

// setting matches the cgroup files that hold settings.
var setting = regexp.MustCompile(`(\.(max|high|low|min|weight|limit|shares|cpus|mems|list|classid|ifpriomap|idle|swappiness|freeze|state|bfq\.weight)|limit_in_bytes|quota_us|period_us|oom_control|burst(_us)?|weight_device|max\.burst|oom\.group)$`)

// cgroupMount is where the hierarchy with these controllers is mounted.
func cgroupMount(controllers string) string {
	name := strings.TrimPrefix(controllers, "name=")
	if controllers == "" && hybrid() {
		name = "unified"
	}
	return filepath.Join("/sys/fs/cgroup", name)
}

// mounted reports whether the hierarchy with these controllers is mounted at the usual place. Other
// hierarchies come and go as other programs mount them elsewhere.
func mounted(controllers string) bool {
	_, err := os.Stat(cgroupMount(controllers))
	return err == nil
}

// hybrid reports whether cgroup2 has the place that it has beside v1's hierarchies.
func hybrid() bool {
	_, err := os.Stat("/sys/fs/cgroup/unified/cgroup.procs")
	return err == nil
}

// cgroupMounts lists where hierarchies are mounted.
func cgroupMounts() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.procs"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	found, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	for i, path := range found {
		found[i] = filepath.Dir(path)
	}
	return found
}

// leftovers records what is still there after everything was deleted, and removes it.
func (r *runner) leftovers() {
	r.leftProcesses()
	for _, mount := range cgroupMounts() {
		r.leftCgroups(mount)
	}
	if entries, err := os.ReadDir(r.dir + "/state"); err == nil {
		for _, e := range entries {
			r.seen.left("left in the state directory", r.normal(e.Name()))
		}
	}
	if log, err := os.ReadFile(r.hooksLog()); err == nil {
		r.hooks("hooks", string(log))
	}
	if log, err := os.ReadFile(r.rootfs() + "/tmp/hooks.log"); err == nil {
		r.hooks("hooks inside", string(log))
	}
	r.leftMounts()
}

// hooks records what hooks wrote.
func (r *runner) hooks(name, text string) {
	for i, part := range strings.Split(r.normal(text), "== hook ")[1:] {
		title, lines, _ := strings.Cut(part, "\n")
		for line := range strings.SplitSeq(lines, "\n") {
			key, value, _ := strings.Cut(line, ":")
			if strings.HasPrefix(line, "ns:") {
				key, value = splitLink(line)
			}
			if key == "state" {
				value = hookPid.ReplaceAllString(value, `"pid":PID`)
				value = ownProcess.ReplaceAllString(value, "/proc/self/")
			}
			if key != "" {
				r.seen.left(fmt.Sprintf("%s %d %s: %s", name, i, title, key), strings.TrimSpace(value))
			}
		}
	}
}

var hookPid = regexp.MustCompile(`"pid":\s*\d+`)

// leftProcesses waits for the end of all processes and ends those that stay.
func (r *runner) leftProcesses() {
	others := 0
	list := func() (left []string, pids []int) {
		others = 0
		reap()
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() || r.helper != nil && pid == r.helper.Process.Pid || !running(pid) {
				continue
			}
			line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
			text := strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
			pids = append(pids, pid)
			if text == otherProcess {
				others++
				continue
			}
			left = append(left, text)
		}
		return left, pids
	}
	var left []string
	var pids []int
	await(r.settleLimit()/5, func() bool {
		left, pids = list()
		return len(left) == 0
	})
	for _, text := range left {
		r.seen.left("left process", r.normal(text))
	}
	if strings.Contains(strings.Join(r.caller, ""), "join_cgroup") {
		r.seen.left("others in the cgroup", strconv.FormatBool(others == r.calls))
	}
	for _, pid := range pids {
		unix.Kill(pid, unix.SIGKILL)
	}
	if r.helper != nil {
		r.helper.Process.Kill()
		r.helper.Wait()
	}
	await(r.settleLimit(), func() bool {
		_, pids = list()
		return len(pids) == 0
	})
}

// otherProcess is the command line of what a feature puts into the container's cgroup beside it.
const otherProcess = "sleep 999"

// reap takes the statuses of all orphans.
func reap() {
	for {
		var status unix.WaitStatus
		if pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}

// leftCgroups records and removes cgroups of the case in one hierarchy.
func (r *runner) leftCgroups(mount string) {
	var found []string
	for _, top := range []string{filepath.Join(mount, r.cgroup), filepath.Join(mount, r.id)} {
		filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				found = append(found, path)
			}
			return nil
		})
	}
	for _, path := range slices.Backward(found) {
		if strings.Contains(strings.Join(r.caller, ""), "join_cgroup") && path == filepath.Join(mount, r.cgroup) {
			os.Remove(path)
			continue
		}
		r.seen.left("left cgroup", r.normal(path))
		os.WriteFile(path+"/freezer.state", []byte("THAWED"), 0)
		os.WriteFile(path+"/cgroup.freeze", []byte("0"), 0)
		os.Remove(path)
	}
}

// leftMounts records mounts below the case's directory that it has not made itself.
func (r *runner) leftMounts() {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		r.seen.left("mounts", err.Error())
		return
	}
	for line := range strings.Lines(string(data)) {
		point, value := splitMount(strings.TrimSpace(line))
		if point == r.dir || point == r.dir+"/host" || point == r.dir+"/host/strict" || strings.HasPrefix(point, r.dir+"/ns/") || !strings.HasPrefix(point, r.dir) {
			continue
		}
		r.seen.left("left mount "+r.normal(point), r.normal(value))
	}
}

// listen waits at a socket for the terminal of a container, which is then read in the background.
func (r *runner) listen(path string) *stream {
	if path == "" {
		return nil
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		r.seen.add("the tester", err.Error())
		return nil
	}
	out := &stream{done: make(chan struct{})}
	go func() {
		defer close(out.done)
		defer listener.Close()
		listener.SetDeadline(time.Now().Add(r.limit))
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		defer conn.Close()
		data, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := conn.ReadMsgUnix(data, control)
		if err != nil {
			return
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil || len(messages) == 0 {
			return
		}
		if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) > 0 {
			out.read(os.NewFile(uintptr(fds[0]), "terminal"))
		}
	}()
	return out
}
