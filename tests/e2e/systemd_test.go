package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// managed makes a box whose cgroup systemd manages, and returns its unit's name in system.slice.
func managed(t *testing.T, changes ...func(*specs.Spec)) (b *harness.Box, unit string) {
	t.Helper()
	harness.OrlopOnly(t, "the names are orlop's, and others have tests of theirs")
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("systemd is not this host's first process: make test-vm runs these tests where it is")
	}
	b = harness.New(t, changes...)
	b.Global = []string{"--systemd-cgroup"}
	inUnit(b, "", "")
	return b, "e2e-" + b.ID + ".scope"
}

// inUnit makes the box's container the unit PREFIX-ID.scope in a slice with the directory dir.
func inUnit(b *harness.Box, slice, dir string) {
	b.Spec.Linux.CgroupsPath = slice + ":e2e:" + b.ID
	if slice == "" {
		dir = "/system.slice"
	}
	b.Cgroup = filepath.Join(dir, "e2e-"+b.ID+".scope")
	b.Write()
}

// systemctl runs it and returns its output.
func systemctl(b *harness.Box, args ...string) string {
	b.T.Helper()
	return output(b, exec.Command("systemctl", args...))
}

// output runs a command and returns its output.
func output(b *harness.Box, cmd *exec.Cmd) string {
	b.T.Helper()
	var out strings.Builder
	cmd.Stdout = &out
	b.Aside(cmd)
	return strings.TrimSpace(out.String())
}

// checkUnit compares properties of a unit, "NAME=VALUE".
func checkUnit(b *harness.Box, unit string, want ...string) {
	b.T.Helper()
	args := []string{"show", unit}
	for _, w := range want {
		name, _, _ := strings.Cut(w, "=")
		args = append(args, "--property="+name)
	}
	got := strings.Split(systemctl(b, args...), "\n")
	for _, w := range want {
		if !slices.Contains(got, w) {
			b.T.Errorf("%s: is %q, want %s", unit, got, w)
		}
	}
}

// checkNoUnit fails the test if systemd knows the unit.
func checkNoUnit(b *harness.Box, unit string) {
	b.T.Helper()
	checkUnit(b, unit, "LoadState=not-found", "ActiveState=inactive")
}

// controlFile reads a file of the cgroup by which systemd identifies the container's processes, or
// of the controller's on v1.
func controlFile(t *testing.T, b *harness.Box, file string) string {
	t.Helper()
	controller, _, _ := strings.Cut(file, ".")
	if controller == "cgroup" {
		controller = "name=systemd"
	}
	mount := harness.CgroupMount(controller)
	if mount == "" {
		mount = harness.CgroupMount("")
	}
	return strings.TrimSpace(read(t, filepath.Join(mount, b.Cgroup, file)))
}

// onCgroup2 reports whether a controller is on cgroup2.
func onCgroup2(controller string) bool { return harness.CgroupMount(controller) == "" }

func limit[T any](v T) *T { return &v }

// TestSystemdLifecycle: from create to delete, the unit exists and has the container's processes
// and its limits, and then it is removed.
func TestSystemdLifecycle(t *testing.T) {
	b, unit := managed(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"org.systemd.property.TimeoutStopSec": "7", "org.systemd.property.Documentation": "['man:orlop(1)', 'man:e2e(1)']"}
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: limit(int64(100 << 20))}
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: limit(int64(40))}
		s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: limit(uint64(512)), Quota: limit(int64(12345)), Period: limit(uint64(100000))}
	}, harness.Sh("trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"))
	lines := b.Create()
	pid := b.State().Pid
	checkUnit(b, unit, "LoadState=loaded", "ActiveState=active", "Slice=system.slice", "Delegate=yes", "DefaultDependencies=no", "CollectMode=inactive-or-failed",
		"Description=orlop container "+b.ID, "ControlGroup="+b.Cgroup, "MemoryAccounting=yes", "TasksAccounting=yes", "Transient=yes",
		"TasksMax=40", "CPUQuotaPerSecUSec=130ms", "TimeoutStopUSec=7s", `Documentation="man:orlop(1)" "man:e2e(1)"`)
	if onCgroup2("memory") {
		checkUnit(b, unit, "MemoryMax=104857600")
	}
	if onCgroup2("cpu") {
		checkUnit(b, unit, "CPUWeight=59")
	}
	inside := func(pid int) {
		t.Helper()
		for controllers, directory := range cgroupDirectories(t, pid) {
			if !strings.HasSuffix(directory, b.Cgroup) {
				t.Errorf("process %d: in %s of %q", pid, directory, controllers)
			}
		}
	}
	inside(pid)
	limits := func(memory, pids, quota string) {
		t.Helper()
		memoryFile, quotaFile := "memory.max", "cpu.max"
		if !onCgroup2("memory") {
			memoryFile = "memory.limit_in_bytes"
		}
		if !onCgroup2("cpu") {
			quotaFile = "cpu.cfs_quota_us"
		}
		got := controlFile(t, b, quotaFile)
		if memoryNow, pidsNow := controlFile(t, b, memoryFile), controlFile(t, b, "pids.max"); memoryNow != memory || pidsNow != pids || strings.Fields(got)[0] != quota {
			t.Errorf("limits: memory %s, pids %s, cpu %s", memoryNow, pidsNow, got)
		}
	}
	limits("104857600", "40", "12345")
	b.OK("start", b.ID)
	if line := lines.Next(); line != "up" {
		t.Fatal(line)
	}
	for controllers, directory := range directoriesIn(t, b.OK("exec", b.ID, "cat", "/proc/self/cgroup")) {
		if !strings.HasSuffix(directory, b.Cgroup) {
			t.Errorf("exec: in %s of %q", directory, controllers)
		}
	}
	b.OK("update", "--memory", "64m", "--pids-limit", "30", b.ID)
	checkUnit(b, unit, "TasksMax=30", "CPUQuotaPerSecUSec=130ms")
	if onCgroup2("memory") {
		checkUnit(b, unit, "MemoryMax=67108864")
	}
	// The quota is not rounded up to the unit's.
	limits("67108864", "30", "12345")
	devices := ""
	if !onCgroup2("devices") {
		devices = controlFile(t, b, "devices.list")
	}
	systemctl(b, "daemon-reload")
	checkUnit(b, unit, "ActiveState=active", "TasksMax=30")
	inside(pid)
	limits("67108864", "30", "12345")
	if devices != "" && controlFile(t, b, "devices.list") != devices {
		t.Errorf("devices: %q, and before %q", controlFile(t, b, "devices.list"), devices)
	}
	b.OK("pause", b.ID)
	b.Status("paused")
	b.OK("resume", b.ID)
	b.OK("kill", b.ID)
	b.WaitGone(pid)
	b.OK("delete", b.ID)
	checkNoUnit(b, unit)
	b.CheckClean()
}

// TestSystemdHooks: hooks that run before the program find the unit and the limits in place.
func TestSystemdHooks(t *testing.T) {
	b, unit := managed(t, func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: limit(int64(40))} })
	log := filepath.Join(b.Dir, "log")
	b.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c",
		"systemctl is-active " + unit + " > " + log + "; cat $(find /sys/fs/cgroup -path '*/" + unit + "/pids.max') >> " + log}}}}
	b.Write()
	b.OK("run", "--bundle", b.Bundle, b.ID)
	if got := read(t, log); got != "active\n40\n" {
		t.Errorf("the hook saw %q", got)
	}
	checkNoUnit(b, unit)
}

// TestSystemdNamespace: the root of the container's cgroup namespace is its unit.
func TestSystemdNamespace(t *testing.T) {
	b, _ := managed(t, harness.WithNamespace("cgroup", ""))
	for line := range strings.Lines(b.Sh("cat /proc/self/cgroup")) {
		if !strings.HasSuffix(line, ":/\n") {
			t.Errorf("in %s", line)
		}
	}
}

// TestSystemdSlice: nested slices are made as needed.
func TestSystemdSlice(t *testing.T) {
	b, unit := managed(t)
	top := "orlope2e" + strconv.Itoa(os.Getpid())
	inUnit(b, top+"-a.slice", "/"+top+".slice/"+top+"-a.slice")
	b.After(func() { systemctl(b, "stop", top+".slice") })
	b.Up()
	checkUnit(b, unit, "Slice="+top+"-a.slice", "ControlGroup="+b.Cgroup, "ActiveState=active")
	for controllers, directory := range cgroupDirectories(t, b.State().Pid) {
		if !strings.HasSuffix(directory, b.Cgroup) {
			t.Errorf("in %s of %q", directory, controllers)
		}
	}
	b.OK("delete", "--force", b.ID)
	checkNoUnit(b, unit)
}

// TestSystemdUnitIsSlice: a name that ends in .slice is the unit's.
func TestSystemdUnitIsSlice(t *testing.T) {
	b, _ := managed(t)
	name := "orlope2e" + strconv.Itoa(os.Getpid()) + "u.slice"
	b.Spec.Linux.CgroupsPath, b.Cgroup = "system.slice:e2e:"+name, "/"+name
	b.Write()
	b.Up()
	checkUnit(b, name, "ActiveState=active", "ControlGroup=/"+name)
	b.OK("delete", "--force", b.ID)
	checkUnit(b, name, "ActiveState=inactive") // slices are always loaded
	b.CheckClean()

	systemctl(b, "start", name)
	defer systemctl(b, "stop", name)
	b.OK("run", "--bundle", b.Bundle, "--detach", b.ID)
	b.OK("delete", "--force", b.ID)
	// It existed before, and does not belong to the container.
	checkUnit(b, name, "ActiveState=active")
}

// TestSystemdTaken: an existing unit belongs to nobody else.
func TestSystemdTaken(t *testing.T) {
	owner, unit := managed(t)
	pid := owner.Up()
	guest, _ := managed(t)
	guest.Spec.Linux.CgroupsPath = owner.Spec.Linux.CgroupsPath
	guest.Write()
	guest.Fails("unit already exists", "create", "--bundle", guest.Bundle, guest.ID)
	if s := owner.State(); s.Status != specs.StateRunning || s.Pid != pid {
		t.Errorf("the owner is now %+v", s)
	}
	checkUnit(owner, unit, "ActiveState=active")
	owner.OK("delete", "--force", owner.ID)
	checkNoUnit(owner, unit)
	guest.OK("run", "--bundle", guest.Bundle, guest.ID)
	checkNoUnit(owner, unit)
}

// TestSystemdRounds: no unit stays, and each name can be reused at once.
func TestSystemdRounds(t *testing.T) {
	b, _ := managed(t)
	for range 25 {
		b.Run(harness.Args("true")).OK(b)
		b.Spec.Process.Args = []string{"sleep", "1000"}
		b.Write()
		b.OK("run", "--detach", "--bundle", b.Bundle, b.ID)
		b.OK("delete", "--force", b.ID)
	}
	if left := systemctl(b, "list-units", "--all", "--plain", "--no-legend", "e2e-*"); left != "" {
		t.Errorf("units are left: %s", left)
	}
}

// TestSystemdKilledCreate: delete --force removes everything that a create leaves when it is killed
// at any moment, including the unit.
func TestSystemdKilledCreate(t *testing.T) {
	b, unit := managed(t, harness.Args("sleep", "1000"))
	began := time.Now()
	b.OK("create", "--bundle", b.Bundle, b.ID)
	took := time.Since(began)
	b.OK("delete", "--force", b.ID)
	const rounds = 50
	killed := 0
	for round := range rounds {
		r := killAfter(b.Cmd("create", "--bundle", b.Bundle, b.ID), took*time.Duration(round)/rounds)
		if r.Status == 137 {
			killed++
		} else {
			r.OK(b)
		}
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
		// systemd may handle the call of a dead caller after that of the delete, and then finds no
		// process.
		known := func() bool { return systemctl(b, "show", "--property=LoadState", unit) != "LoadState=not-found" }
		for deadline := time.Now().Add(hang.Limit); known(); {
			if time.Now().After(deadline) {
				t.Fatal("the unit is left")
			}
			time.Sleep(20 * time.Millisecond)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if killed < rounds/10 {
		t.Errorf("only %d of %d were killed in time", killed, rounds)
	}
}

// TestSystemdFailedCreate: a create that fails after the unit was made leaves none.
func TestSystemdFailedCreate(t *testing.T) {
	b, unit := managed(t)
	b.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
	b.Write()
	b.Fails("createRuntime", "create", "--bundle", b.Bundle, b.ID)
	checkNoUnit(b, unit)
	b.CheckClean()
	for annotation, text := range map[string]string{
		"org.systemd.property.NoSuchThing":  "NoSuchThing",
		"org.systemd.property.MemoryMax":    "set unit properties", // of the wrong type
		"org.systemd.property.Description":  "neither a value nor a type",
		"org.systemd.property.Not.A.Name":   "not a property name",
		"org.systemd.property.TimeoutStopS": "TimeoutStopS",
	} {
		b.Spec.Hooks, b.Spec.Annotations = nil, map[string]string{annotation: "true"}
		if strings.HasSuffix(annotation, "Description") {
			b.Spec.Annotations[annotation] = "unquoted"
		}
		b.Write()
		b.Fails(text, "create", "--bundle", b.Bundle, b.ID)
		checkNoUnit(b, unit)
		b.CheckClean()
	}
}

// TestSystemdBus: the same through the bus, which is used if systemd cannot be reached directly.
func TestSystemdBus(t *testing.T) {
	b, unit := managed(t)
	const bus = "/run/dbus/system_bus_socket"
	if _, err := os.Stat(bus); err != nil {
		t.Skipf("there is no system bus: %v", err)
	}
	b.Env = []string{"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + bus}
	b.Up()
	checkUnit(b, unit, "ActiveState=active")
	b.OK("update", "--pids-limit", "30", b.ID)
	checkUnit(b, unit, "TasksMax=30")
	b.OK("delete", "--force", b.ID)
	checkNoUnit(b, unit)
	b.CheckClean()
}

// TestSystemdReexec: systemd closes connections when it re-executes itself.
func TestSystemdReexec(t *testing.T) {
	b, unit := managed(t)
	rounds := 6
	if testing.Short() {
		// An emulated machine needs up to half a minute for one.
		rounds = 2
	}
	for round := range rounds {
		p := b.Cmd("run", "--bundle", b.Bundle, b.ID).Start()
		// The moment is the test's parameter.
		time.Sleep(time.Duration(round) * 50 * time.Millisecond)
		systemctl(b, "daemon-reexec")
		p.Wait().OK(b)
		checkNoUnit(b, unit)
	}
	b.CheckClean()
}

// TestSystemdLeftovers: sub-cgroups and processes of the container are removed with the unit.
func TestSystemdLeftovers(t *testing.T) {
	b, unit := managed(t, harness.WithoutNamespace("pid"), harness.Sh("sleep 1000 & echo $!; exec sleep 1000"))
	lines := b.Create()
	first := b.State().Pid
	b.OK("start", b.ID)
	second, err := strconv.Atoi(lines.Next())
	must(t, err)
	mount := harness.CgroupMount("name=systemd")
	if mount == "" {
		mount = harness.CgroupMount("")
	}
	sub := filepath.Join(mount, b.Cgroup, "sub")
	must(t, os.Mkdir(sub, 0o755))
	must(t, os.WriteFile(filepath.Join(sub, "cgroup.procs"), []byte(strconv.Itoa(second)), 0))
	b.OK("delete", "--force", b.ID)
	b.WaitGone(first)
	b.WaitGone(second)
	checkNoUnit(b, unit)
	b.CheckClean()
}

// TestSystemdAway: the error if systemd cannot be reached, after which nothing is left.
func TestSystemdAway(t *testing.T) {
	harness.OrlopOnly(t, "it is about what is said")
	b := harness.New(t)
	b.Global = []string{"--systemd-cgroup"}
	b.Fails(`linux.cgroupsPath: "`+b.Cgroup+`": must be SLICE:PREFIX:NAME`, "create", "--bundle", b.Bundle, b.ID)
	inUnit(b, "", "")
	b.Env = []string{"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + b.Dir + "/nothing"}
	b.Fails("systemd is not available: connect to "+b.Dir+"/nothing: no such file or directory", "create", "--bundle", b.Bundle, b.ID)
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		b.Env = nil
		b.Fails("systemd is not available: it is not this host's init", "create", "--bundle", b.Bundle, b.ID)
	}
	b.CheckClean()
}

// TestSystemdHangs: a systemd that does not answer, to the authentication or to the call. Then the
// container's process already exists.
func TestSystemdHangs(t *testing.T) {
	harness.OrlopOnly(t, "it is about what is said")
	slice := "orlope2e" + strconv.Itoa(os.Getpid()) + "h.slice"
	type attempt struct {
		b    *harness.Box
		p    *harness.Process
		want string
	}
	var attempts []attempt
	began := time.Now()
	for lines, want := range map[int]string{0: "authenticate: no answer within 25s", len(greeting): "StartTransientUnit: no answer within 25s"} {
		b := harness.New(t)
		inUnit(b, slice, "/"+slice)
		path := filepath.Join(b.Dir, "bus")
		b.Global, b.Env = []string{"--systemd-cgroup"}, []string{"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + path}
		deafBus(t, path, lines)
		attempts = append(attempts, attempt{b, b.Cmd("create", "--bundle", b.Bundle, b.ID).Start(), want})
	}
	for _, a := range attempts {
		a.p.Wait().Fails(a.b, a.want)
		a.b.CheckClean()
	}
	if took := time.Since(began); took < 24*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, mount := range cgroupMounts(t) { // systemd does not know the slice
		os.Remove(filepath.Join(mount, slice))
	}
}

// deafBus listens as a bus that answers this many lines of the authentication, and then Hello and
// AddMatch if these are all, and nothing more.
func deafBus(t *testing.T, path string, lines int) {
	t.Helper()
	l, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			if err := greet(c, lines); err != nil {
				t.Error(err)
			}
		}
	}()
}

// greeting has a bus's answers to the lines of the authentication.
var greeting = [...]string{"REJECTED EXTERNAL\r\n", "DATA\r\n", "", "OK 0123\r\n"}

// greet answers this many lines, and two calls if they are all.
func greet(c net.Conn, lines int) error {
	r := bufio.NewReader(c)
	for _, answer := range greeting[:lines] {
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
		if _, err := fmt.Fprint(c, answer); err != nil {
			return err
		}
	}
	if lines < len(greeting) {
		return nil
	}
	for _, body := range [][]any{{":1.5"}, nil} {
		call, err := dbus.DecodeMessage(r)
		if err != nil {
			return err
		}
		reply := dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		}}
		if len(body) > 0 {
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
		}
		if err := reply.EncodeTo(c, binary.LittleEndian); err != nil {
			return err
		}
	}
	return nil
}

// cgroupMounts lists the mount points of all hierarchies.
func cgroupMounts(t *testing.T) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(read(t, "/proc/self/mounts")) {
		if f := strings.Fields(line); f[2] == "cgroup" || f[2] == "cgroup2" {
			found = append(found, f[1])
		}
	}
	return found
}

// killAfter starts the command and kills the runtime alone after this time.
func killAfter(c *harness.Command, after time.Duration) harness.Result {
	p := c.Start()
	// The moment is the test's parameter: there is no event to wait for.
	time.Sleep(after)
	p.Signal(unix.SIGKILL)
	return p.Wait()
}
