package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// callLimit is how long a command may take before it counts as stuck, unless a flag says otherwise.
const callLimit = 20 * time.Second

// await polls with growing pauses until something is done or the limit has passed.
func await(limit time.Duration, done func() bool) {
	pause := time.Millisecond
	for deadline := time.Now().Add(limit); !done() && time.Now().Before(deadline); pause = min(2*pause, 20*time.Millisecond) {
		time.Sleep(pause)
	}
}

// settleLimit is the timeout for events without a file descriptor to wait on: the probe's last
// line, an exit, the end of a killed process.
func (r *runner) settleLimit() time.Duration { return r.limit / 2 }

// shellCaller begins the shell that becomes the runtime: what features of the caller use.
const shellCaller = `join_cgroup() {
	for mount in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ -e "$mount/cgroup.procs" ] || continue
		mkdir -p "$mount$1" 2>/dev/null || continue
		case $mount in */cpuset)
			at=$mount
			for name in $(echo "$1" | tr / ' '); do
				at=$at/$name
				cat "${at%/*}/cpuset.cpus" >"$at/cpuset.cpus"
				cat "${at%/*}/cpuset.mems" >"$at/cpuset.mems"
			done ;;
		esac
		sleep 999 </dev/null >/dev/null 2>&1 &
		echo $! >"$mount$1/cgroup.procs"
	done
}
`

// A runner runs one case under one runtime. It is the first process of its own namespaces: whatever
// a container leaves is below it, and ends with it.
type runner struct {
	*bundle
	program string        // the runtime
	kind    string        // orlop, runc or crun
	limit   time.Duration // of a call
	seen    *observation

	helper    *exec.Cmd // holds the namespaces to join
	container int       // PID of the container's first process, 0 before it is known
	output    *stream   // the container's
	calls     int
	took      time.Duration // by all calls
}

// A stream is what a command prints, and the container that it starts: a file, or what is read from
// a pipe or terminal.
type stream struct {
	path string // if it is a file

	mu   sync.Mutex
	text bytes.Buffer
	done chan struct{} // closed at the end, nil if nothing is read
}

// await waits for the end of the stream. A terminal does not end while a process holds it open.
func (s *stream) await(limit time.Duration) {
	select {
	case <-s.done:
	case <-time.After(limit):
	}
}

func (s *stream) String() string {
	if s.path != "" {
		data, err := os.ReadFile(s.path)
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// follow reads a file to its end in the background.
func (s *stream) follow(f *os.File) {
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		s.read(f)
	}()
}

// read reads a file to its end.
func (s *stream) read(f *os.File) {
	defer f.Close()
	data := make([]byte, 1<<16)
	for {
		n, err := f.Read(data)
		s.mu.Lock()
		s.text.Write(data[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// run calls all commands of the case.
func (r *runner) run() error {
	if err := r.holdNamespaces(); err != nil {
		return err
	}
	left := 1 // the status of delete
	create := append([]string{"--bundle", r.dir + "/bundle"}, r.create...)
	pidFile := r.dir + "/pid"
	switch {
	case r.foreground:
		r.output, _ = r.call(append(append([]string{"run"}, create...), r.id), false)
	case r.created:
		if r.detach("create", append(create, "--pid-file", pidFile)) {
			r.phase("created")
			r.call([]string{"start", r.id}, true)
			r.awaitProbe()
		}
	default:
		if r.detach("run", append(create, "--detach", "--pid-file", pidFile)) {
			r.awaitProbe()
		}
	}
	if r.container != 0 {
		r.outside("running")
		r.phase("running")
		r.call([]string{"kill", r.id, "KILL"}, true)
		r.awaitExit()
		r.call([]string{"state", r.id}, true)
		r.phase("stopped")
		_, left = r.call([]string{"delete", r.id}, true)
	}
	if r.output != nil && (r.container != 0 || strings.Contains(r.output.String(), "== start")) {
		r.seen.probe("container", r.normal(r.output.String()))
	}
	if left != 0 {
		r.call([]string{"delete", "--force", r.id}, true)
	}
	r.leftovers()
	return nil
}

// detach calls create or run --detach, whose streams become the container's, and reports whether
// there is a container then.
func (r *runner) detach(command string, args []string) bool {
	console := r.spec.Process != nil && r.spec.Process.Terminal
	var socket string
	if console {
		socket = r.dir + "/console.sock"
		args = append(args, "--console-socket", socket)
	}
	terminal := r.listen(socket)
	output, status := r.call(append(append([]string{command}, args...), r.id), false)
	r.output = output
	if terminal != nil {
		r.output = terminal
	}
	pid, err := os.ReadFile(r.dir + "/pid")
	r.seen.add("pid file", strconv.FormatBool(err == nil))
	if status != 0 || err != nil {
		return false
	}
	r.container, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	return err == nil
}

// phase calls the steps of a phase.
func (r *runner) phase(name string) {
	for _, s := range r.steps {
		if s.phase != name {
			continue
		}
		detached := s.args[0] == "exec" && slices.Contains(s.args, "-d")
		args := s.args
		var terminal *stream
		if detached {
			args = slices.Insert(slices.Clone(args), 1, "--pid-file", r.dir+"/exec.pid")
			if slices.Contains(args, "-t") {
				socket := r.dir + "/exec.sock"
				terminal = r.listen(socket)
				args = slices.Insert(args, 1, "--console-socket", socket)
			}
		}
		if s.args[0] == "create" {
			args = append([]string{"create", "--bundle", r.dir + "/bundle"}, args[1:]...)
		}
		output, status := r.call(args, !detached)
		if s.args[0] == "kill" && status == 0 {
			r.awaitSignal()
		}
		if detached && status == 0 {
			r.awaitExec(output, terminal)
		}
	}
}

// awaitSignal gives the container's process time to end: no event says when a signal has taken
// effect.
func (r *runner) awaitSignal() {
	await(r.settleLimit()/20, func() bool { return !running(r.container) })
}

// awaitExec waits for the end of a process that exec left in the background, and records what it
// printed.
func (r *runner) awaitExec(output, terminal *stream) {
	if data, err := os.ReadFile(r.dir + "/exec.pid"); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
			r.seen.add("exit of the detached process", r.wait(pid))
		}
	}
	if terminal != nil {
		terminal.await(r.settleLimit() / 10)
		output = terminal
	}
	r.seen.probe("detached process", r.normal(output.String()))
}

// call runs the runtime with these arguments and records what came of it.
func (r *runner) call(args []string, parse bool) (*stream, int) {
	r.calls++
	name := fmt.Sprintf("%d %s", r.calls, args[0])
	argv := append([]string{r.program, "--root", r.dir + "/state"}, append(slices.Clone(r.global), args...)...)
	if len(r.caller) > 0 {
		script := shellCaller + strings.Join(r.caller, "\n") + "\nexec \"$@\"\n"
		argv = append([]string{"/bin/sh", "-c", script, "sh"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = r.dir
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "OF=caller"}
	var out, errs *stream
	var child []*os.File // closed here once the runtime has them
	fail := func(err error) (*stream, int) {
		r.seen.add(name+": the tester", err.Error())
		return &stream{}, -1
	}
	foreground := args[0] == "run" && !slices.Contains(args, "--detach") && r.spec.Process != nil && r.spec.Process.Terminal ||
		args[0] == "exec" && slices.Contains(args, "-t") && !slices.Contains(args, "-d")
	var err error
	if foreground {
		out, child, err = r.onTerminal(cmd)
		errs = &stream{}
	} else {
		out, errs, child, err = r.onFiles(cmd, args[0])
	}
	if err != nil {
		return fail(err)
	}
	begin := time.Now()
	err = cmd.Start()
	for _, f := range child {
		f.Close()
	}
	if err != nil {
		return fail(err)
	}
	status, stuck := r.finish(cmd)
	r.took += time.Since(begin)
	if foreground {
		out.await(r.settleLimit() / 10)
	}
	r.seen.call(name, args, status, stuck, r.normal(out.String()), r.normal(errs.String()), parse)
	return out, status
}

// finish waits for a command, and kills it after its timeout.
func (r *runner) finish(cmd *exec.Cmd) (status int, stuck bool) {
	timer := time.AfterFunc(r.limit, func() {
		stuck = true
		cmd.Process.Kill()
	})
	err := cmd.Wait()
	timer.Stop()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
			return 128 + int(ws.Signal()), stuck
		}
		return exit.ExitCode(), stuck
	}
	return 0, stuck
}

// onFiles gives a command its standard streams.
func (r *runner) onFiles(cmd *exec.Cmd, command string) (out, errs *stream, child []*os.File, err error) {
	open := func(name string, flags int) *os.File {
		var f *os.File
		if err == nil {
			if f, err = os.OpenFile(name, flags, 0o644); err == nil {
				child = append(child, f)
			}
		}
		return f
	}
	out = &stream{path: fmt.Sprintf("%s/out.%d", r.dir, r.calls)}
	errs = &stream{path: fmt.Sprintf("%s/err.%d", r.dir, r.calls)}
	cmd.Stderr = open(errs.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	makes := command == "run" || command == "create"
	switch {
	case makes && r.stdout == "null":
		out = &stream{}
		cmd.Stdout = open("/dev/null", os.O_WRONLY)
	case makes && r.stdout == "pipe":
		var reader, writer *os.File
		if reader, writer, err = os.Pipe(); err != nil {
			return
		}
		out = &stream{}
		out.follow(reader)
		child = append(child, writer)
		cmd.Stdout = writer
	default:
		cmd.Stdout = open(out.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	}
	switch {
	case !makes || r.stdin == "null":
		cmd.Stdin = open("/dev/null", os.O_RDONLY)
	case r.stdin == "file":
		cmd.Stdin = open(r.dir+"/in", os.O_RDONLY)
	case r.stdin == "pipe":
		var reader, writer *os.File
		if reader, writer, err = os.Pipe(); err != nil {
			return
		}
		writer.WriteString("input\n")
		writer.Close()
		child = append(child, reader)
		cmd.Stdin = reader
	}
	return out, errs, child, err
}

// onTerminal gives a command a terminal as its standard streams.
func (r *runner) onTerminal(cmd *exec.Cmd) (*stream, []*os.File, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	out := &stream{}
	out.follow(master)
	return out, []*os.File{slave}, nil
}

// awaitProbe waits until the container's process has printed all, or has ended.
func (r *runner) awaitProbe() {
	if r.stdout == "null" {
		time.Sleep(200 * time.Millisecond) // Nothing says when it has started.
		return
	}
	await(r.settleLimit(), func() bool {
		return r.container == 0 || strings.Contains(r.output.String(), "== end") || !running(r.container)
	})
}

// awaitExit waits for the end of the container's first process.
func (r *runner) awaitExit() {
	if r.container != 0 {
		r.seen.add("exit of the container", r.wait(r.container))
	}
}

// wait waits for an orphan.
func (r *runner) wait(pid int) string {
	end := "still runs"
	await(r.settleLimit(), func() bool {
		var status unix.WaitStatus
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			end = "no child"
		case err == nil && got == pid && status.Signaled():
			end = fmt.Sprintf("signal %d", status.Signal())
		case err == nil && got == pid:
			end = fmt.Sprintf("status %d", status.ExitStatus())
		default:
			return false
		}
		return true
	})
	return end
}

// running reports whether a process exists and has not ended.
func running(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := bytes.Cut(data, []byte(") "))
	return len(after) > 0 && after[0] != 'Z' && after[0] != 'X'
}

// holdNamespaces starts a process in namespaces that the container joins, and binds them to files.
func (r *runner) holdNamespaces() error {
	if len(r.joined) == 0 {
		return nil
	}
	flags := map[string]uintptr{"pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS,
		"mnt": unix.CLONE_NEWNS, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME}
	r.helper = exec.Command(r.Busybox, "sleep", "1000")
	attr := &syscall.SysProcAttr{}
	for _, name := range r.joined {
		if name == "pid" || name == "time" {
			attr.Cloneflags |= flags["pid"] // its own, not only its children's
			continue
		}
		attr.Cloneflags |= flags[name]
	}
	r.helper.SysProcAttr = attr
	if err := r.helper.Start(); err != nil {
		return err
	}
	for _, name := range r.joined {
		path := filepath.Join(r.dir, "ns", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if name == "mnt" { // A mount namespace cannot be bound inside itself's descendants: a link will do.
			if err := os.Symlink(fmt.Sprintf("/proc/%d/ns/mnt", r.helper.Process.Pid), path); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, nil, 0o444); err != nil {
			return err
		}
		if err := unix.Mount(fmt.Sprintf("/proc/%d/ns/%s", r.helper.Process.Pid, name), path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind namespace %s: %w", name, err)
		}
	}
	return nil
}
