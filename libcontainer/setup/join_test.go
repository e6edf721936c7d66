package setup

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

func TestHooks(t *testing.T) {
	tr := newTrial(t, "cat /made")
	tr.spec.Root.Readonly = false
	tr.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/x"}}, CreateContainer: []specs.Hook{{Path: "/bin/busybox"}}}
	var order []int
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		order = append(order, m.ID)
		if m.ID != MessageHooks {
			return true
		}
		// The hook's path and the root are the runtime's, the namespaces are the container's.
		out := tr.hook(p, specs.Hook{Path: busybox, Args: []string{"sh", "-c", `umask; pwd; grep -q ' ` + tr.path("dev") + ` ' /proc/self/mountinfo && echo "$A" >` + tr.path("made")},
			Env: []string{"A=hook"}}, nil)
		if out != "0027\n"+tr.dir+"\n" {
			t.Errorf("the hook says %q", out)
		}
		return true
	}
	if out := tr.out(); out != "hook\n" {
		t.Errorf("output %q", out)
	}
	if len(order) != 2 || order[0] != MessageHooks || order[1] != MessageReady {
		t.Errorf("messages %v", order)
	}
}

// all are the namespaces of the example.
const all = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNS

// hook runs a hook in the namespaces of a process and returns its output.
func (tr *trial) hook(p *nsenter.Process, h specs.Hook, as *specs.Process) string {
	tr.t.Helper()
	plan, err := Hook(h, tr.dir, Join{Namespaces: all}, Facts{Umask: 0o27})
	if as != nil {
		plan, err = Exec(HookProcess(&h, as), Join{Namespaces: all}, Options{Hook: &h}, Facts{})
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	out, err := joined(tr.t, plan, p, nil)
	if err != nil {
		tr.t.Error(err)
	}
	return out
}

// joined runs a plan that joins the container of p.
func joined(t *testing.T, plan *Plan, p *nsenter.Process, onMessage func(*nsenter.Process, nsenter.Message) bool) (string, error) {
	t.Helper()
	child := 0
	tr := &trial{t: t, named: []nsenter.NamedFile{{Name: string(PidfdOfContainer), File: p.Pidfd}}}
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		if m.ID == MessageChild {
			child = int(m.Value)
			return false
		}
		return onMessage != nil && onMessage(p, m)
	}
	out, err := tr.runPlan(plan)
	if child == 0 {
		if err == nil {
			t.Error("there was no message of the child")
		}
		return out, err
	}
	var status unix.WaitStatus
	if _, werr := unix.Wait4(child, &status, unix.WALL, nil); werr != nil {
		t.Error(werr)
	}
	if err == nil && status != 0 {
		err = errors.New("status of the child")
	}
	return out, err
}

// TestExec joins a container that waits to be started.
func TestExec(t *testing.T) {
	tr := newTrial(t, "true")
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		run := func(change func(p *specs.Process)) (string, error) {
			process := *tr.spec.Process
			process.Args = []string{"sh", "-c", `echo $$ $A; readlink /proc/self/ns/mnt; ls /; id; cat /proc/self/oom_score_adj; pwd; grep -E 'CapPrm|CapInh|CapAmb' /proc/self/status`}
			process.Env = []string{"PATH=/bin", "A=joined", "HOME=/"}
			change(&process)
			plan, err := Exec(&process, Join{Namespaces: all}, Options{Keyring: "_ses.web"}, Facts{})
			if err != nil {
				t.Fatal(err)
			}
			if !plan.Clones() {
				t.Error("the plan does not clone")
			}
			return joined(t, plan, p, nil)
		}
		out, err := run(func(p *specs.Process) {
			p.User.UID, p.OOMScoreAdj, p.Cwd = 1000, ptr(321), "/bin"
		})
		if err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(out, "2 joined\n") {
			t.Errorf("output %q", out)
		}
		contains(t, out, "uid=1000", "321\n/bin\n", "bin\n", "CapInh:\t0000000000000000\n", "CapAmb:\t0000000000000000\n")
		_, err = run(func(p *specs.Process) { p.Args = []string{"nothing"} })
		if err == nil || err.Error() != `process.args: exec "nothing": executable file not found in $PATH` {
			t.Error(err)
		}
		if _, err = run(func(p *specs.Process) { p.Cwd = "/nothing" }); !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
		// CVE-2024-21626
		if _, err = run(func(p *specs.Process) { p.Cwd = "/proc/self/fd/5" }); err == nil {
			t.Error("a descriptor is the working directory")
		}
		as := &specs.Process{User: specs.User{UID: 1000}, Cwd: "/bin", Env: []string{"A=1", "HOME=/x"}}
		for _, tc := range []struct {
			env  []string
			want string
		}{{nil, "A=1 HOME=/x"}, {[]string{"B=2"}, "B=2"}} {
			h := specs.Hook{Path: "/bin/busybox", Args: []string{"busybox", "sh", "-c", "PATH=/bin; " + "/bin/id -u; pwd; /bin/busybox env | grep -e ^A -e ^B -e ^HOME | sort"}, Env: tc.env}
			if out := strings.Fields(tr.hook(p, h, as)); strings.Join(out, " ") != "1000 /bin "+tc.want {
				t.Errorf("the hook says %q", out)
			}
		}
		return true
	}
	tr.out()
}

// TestJoinByPath gives a container the namespaces of another one by their files.
func TestJoinByPath(t *testing.T) {
	tr := newTrial(t, "true")
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		other := newTrial(t, `echo $$; readlink /proc/self/ns/net; readlink /proc/self/ns/uts; hostname; mount | grep -c ' on / '`)
		other.spec.Process.Args[3] = `echo $$; for n in net uts ipc pid; do readlink /proc/self/ns/$n; done; hostname`
		other.spec.Hostname = ""
		want := "2\n"
		for i, n := range other.spec.Linux.Namespaces {
			file := map[specs.LinuxNamespaceType]string{specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts"}[n.Type]
			if file != "" {
				other.spec.Linux.Namespaces[i].Path = filepath.Join("/proc", itoa(p.Pid), "ns", file)
			}
		}
		for _, file := range []string{"net", "uts", "ipc", "pid"} {
			link, err := os.Readlink(filepath.Join("/proc", itoa(p.Pid), "ns", file))
			if err != nil {
				t.Fatal(err)
			}
			want += link + "\n"
		}
		plan, err := Container(other.bundle(), Options{}, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := joined2(t, plan)
		if err != nil || out != want+"orlop\n" {
			t.Errorf("output %q, want %q; %v", out, want, err)
		}
		return true
	}
	tr.out()
}

func joined2(t *testing.T, plan *Plan) (string, error) {
	return joined(t, plan, &nsenter.Process{Pidfd: os.Stdin}, func(_ *nsenter.Process, m nsenter.Message) bool { return m.ID == MessageReady })
}

// TestStartSocket starts a container through its socket, and sees its exec fail there.
func TestStartSocket(t *testing.T) {
	for _, fails := range []bool{false, true} {
		tr := newTrial(t, "exit 0")
		tr.options.StartSocket = true
		if fails {
			tr.write("script", "#!/nothing\n")
			if err := os.Chmod(tr.path("script"), 0o755); err != nil {
				t.Fatal(err)
			}
			tr.spec.Process.Args = []string{"/script"}
		}
		pair, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		address := &unix.SockaddrUnix{Name: filepath.Join(tr.dir, "start")}
		if err := errors.Join(unix.Bind(pair, address), unix.Listen(pair, 1)); err != nil {
			t.Fatal(err)
		}
		socket := os.NewFile(uintptr(pair), "start")
		defer socket.Close()
		tr.named = []nsenter.NamedFile{{Name: string(StartSocket), File: socket}}
		plan, err := Container(tr.bundle(), tr.options, tr.facts)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := plan.Lower()
		if err != nil {
			t.Fatal(err)
		}
		record, err := json.Marshal(plan.Remains(prog))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
			if m.ID != MessageReady {
				t.Errorf("message %d", m.ID)
			}
			go func() { ended <- startOver(t, address, record) }()
			return true
		}
		_, err = tr.runPlan(plan)
		want := `process.args: exec "/script": no such file or directory`
		got := <-ended
		if !fails && (got != nil || err != nil) || fails && (got == nil || got.Error() != want) {
			t.Errorf("start: %v; process: %v", got, err)
		}
	}
}

// startOver starts a container as `start` does, from the record alone.
func startOver(t *testing.T, address unix.Sockaddr, record []byte) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, address); err != nil {
		return err
	}
	conn := nsenter.NewConn(os.NewFile(uintptr(fd), "connection"))
	defer conn.Close()
	m, err := conn.Next()
	if err != nil || m.ID != MessageStart {
		t.Errorf("message %v, %v", m, err)
	}
	if err := conn.Resume(); err != nil {
		return err
	}
	_, err = conn.Next()
	if err == io.EOF {
		return nil
	}
	var f *nsenter.Failure
	if !errors.As(err, &f) {
		return err
	}
	var list []Remaining
	if err := json.Unmarshal(record, &list); err != nil {
		return err
	}
	return FailedRemaining(list, f)
}

// TestExecConsole gives a joining process a terminal of the container's devpts.
func TestExecConsole(t *testing.T) {
	tr := newTrial(t, "true")
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		process := *tr.spec.Process
		process.Terminal = true
		process.ConsoleSize = &specs.Box{Height: 5, Width: 6}
		process.Args = []string{"/bin/sh", "-c", "tty; stty size"}
		plan, err := Exec(&process, Join{Namespaces: all}, Options{}, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		var master *os.File
		_, err = joined(t, plan, p, func(_ *nsenter.Process, m nsenter.Message) bool {
			if m.ID == MessageConsole {
				fd, err := unix.Dup(int(m.File.Fd()))
				if err != nil {
					t.Error(err)
				}
				master = os.NewFile(uintptr(fd), "master")
			}
			return false
		})
		if err != nil || master == nil {
			t.Errorf("master %v, %v", master, err)
			return true
		}
		defer master.Close()
		text, _ := io.ReadAll(master) // it ends in EIO
		if string(text) != "/dev/pts/0\r\n5 6\r\n" {
			t.Errorf("output %q", text)
		}
		return true
	}
	tr.out()
}

// TestDocker runs the configuration that Docker wrote.
func TestDocker(t *testing.T) {
	tr := newTrial(t, "")
	b, err := specconv.Parse(readConfig(t, "docker.json"), tr.dir)
	if err != nil {
		t.Fatal(err)
	}
	tr.facts.Cgroup = hostCgroups(t)
	b.Spec.Process.Args = []string{"sh", "-c", "hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range; ls /sys/firmware; mount | wc -l"}
	p, err := Container(b, Options{Keyring: "_ses.docker"}, tr.facts)
	if err != nil {
		t.Fatal(err)
	}
	out, err := tr.runPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "docker-like\n0\n0\t2147483647\n")
}
