package cgroups

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// parseDevices parses rules in short form: "allow c 1:* rw; deny a". Omitted parts are unset.
func parseDevices(t testing.TB, text string) *specs.LinuxResources {
	t.Helper()
	r := &specs.LinuxResources{}
	for rule := range strings.SplitSeq(text, ";") {
		f := strings.Fields(rule)
		if len(f) == 0 {
			continue
		}
		d := specs.LinuxDeviceCgroup{Allow: f[0] == "allow", Type: f[1]}
		if len(f) > 2 {
			for i, n := range strings.SplitN(f[2], ":", 2) {
				number := int64(-1)
				if n != "*" {
					fmt.Sscan(n, &number)
				}
				if i == 0 {
					d.Major = &number
				} else {
					d.Minor = &number
				}
			}
			d.Access = f[3]
		}
		r.Devices = append(r.Devices, d)
	}
	return r
}

const defaultsV1 = "allow c *:* m, allow b *:* m, allow c 1:3 rwm, allow c 1:5 rwm, allow c 1:7 rwm, allow c 1:8 rwm, " +
	"allow c 1:9 rwm, allow c 5:0 rwm, allow c 5:2 rwm, allow c 136:* rwm, allow c 10:200 rwm"

const docker = "deny a; allow c 1:5 rwm; allow c 1:3 rwm; allow c 1:9 rwm; allow c 1:8 rwm; allow c 5:0 rwm; allow c 5:1 rwm; deny c 10:229 rwm"

// deviceWrites formats writes to files of the devices controller in short form.
func deviceWrites(list []setting) string {
	var got []string
	for _, s := range list {
		got = append(got, strings.TrimPrefix(s.file, "devices.")+" "+s.value)
	}
	return strings.Join(got, ", ")
}

func TestDevicesV1(t *testing.T) {
	for _, tt := range []struct{ rules, want string }{
		{"", "deny a, " + defaultsV1},
		{"deny a", "deny a, " + defaultsV1},
		{docker, "deny a, allow c 1:5 rwm, allow c 1:3 rwm, allow c 1:9 rwm, allow c 1:8 rwm, allow c 5:0 rwm, allow c 5:1 rwm, " +
			"allow c *:* m, allow b *:* m, allow c 1:7 rwm, allow c 5:2 rwm, allow c 136:* rwm, allow c 10:200 rwm"},
		{"allow a", "allow a"},
		{"allow b 8:0 r; allow a", "allow a"},
		{"allow a; deny b 8:0 rw", "allow a, deny b 8:0 rw"},
		{"allow a; deny c 1:3 w", "allow a"}, // a default device stays
		{"allow b 8:0 r; allow b 8:0 w", "deny a, allow b 8:0 rw, " + defaultsV1},
		{"allow b 8:0 rw; deny b 8:0 w", "deny a, allow b 8:0 r, " + defaultsV1},
		{"allow b 8:0 rw; allow b 8:1 rw; deny b 8:* rwm", "deny a, " + defaultsV1},
		// The kernel alone would apply the second rule to all devices.
		{"allow a 5:1 r", "deny a, allow c 5:1 r, allow b 5:1 r, " + defaultsV1},
	} {
		rules, err := deviceRules(parseDevices(t, tt.rules))
		if err != nil {
			t.Fatal(err)
		}
		list, err := newDeviceList(rules)
		if err != nil {
			t.Errorf("%q: %v", tt.rules, err)
			continue
		}
		if s := deviceWrites(list.fill()); s != tt.want {
			t.Errorf("%q:\ngot  %s\nwant %s", tt.rules, s, tt.want)
		}
	}
	for _, bad := range []string{"allow c 1:* rwm; deny c 1:3 w", "allow c 1:* r; deny c *:3 r", "allow c *:* rwm; deny c 10:229 rwm"} {
		rules, err := deviceRules(parseDevices(t, bad))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newDeviceList(rules); err == nil || !strings.HasPrefix(err.Error(), "linux.resources.devices[1]: ") {
			t.Errorf("%q, which v1 cannot express: error %v", bad, err)
		}
	}
}

func TestDeviceRuleFaults(t *testing.T) {
	for _, tt := range []struct {
		d    specs.LinuxDeviceCgroup
		want string
	}{
		{specs.LinuxDeviceCgroup{Type: "p"}, "linux.resources.devices[0].type: "},
		{specs.LinuxDeviceCgroup{Access: "rx"}, "linux.resources.devices[0].access: "},
		{specs.LinuxDeviceCgroup{Type: "c", Major: ptr(int64(-2))}, "linux.resources.devices[0].major: "},
		{specs.LinuxDeviceCgroup{Type: "c", Minor: ptr(int64(1 << 32))}, "linux.resources.devices[0].minor: "},
	} {
		_, err := deviceRules(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{tt.d}})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %s...", tt.d, err, tt.want)
		}
	}
}

// mnemonics formats a program roughly as bpftool does.
func mnemonics(p []instruction) string {
	var b strings.Builder
	for i, in := range p {
		dst, src := in.registers&15, in.registers>>4
		switch in.op {
		case opLoad32:
			fmt.Fprintf(&b, "%d: r%d = *(u32 *)(r%d +%d)\n", i, dst, src, in.offset)
		case opAnd:
			fmt.Fprintf(&b, "%d: r%d &= %#x\n", i, dst, in.imm)
		case opShift:
			fmt.Fprintf(&b, "%d: r%d >>= %d\n", i, dst, in.imm)
		case opMov:
			fmt.Fprintf(&b, "%d: r%d = %d\n", i, dst, in.imm)
		case opMovReg:
			fmt.Fprintf(&b, "%d: r%d = r%d\n", i, dst, src)
		case opJumpNE:
			fmt.Fprintf(&b, "%d: if r%d != %d goto %d\n", i, dst, in.imm, i+1+int(in.offset))
		case opJumpEQ:
			fmt.Fprintf(&b, "%d: if r%d == %d goto %d\n", i, dst, in.imm, i+1+int(in.offset))
		case opExit:
			fmt.Fprintf(&b, "%d: exit\n", i)
		default:
			fmt.Fprintf(&b, "%d: op %#x?\n", i, in.op)
		}
	}
	return b.String()
}

func TestDeviceProgram(t *testing.T) {
	everything := deviceRule{device: device{'a', anyNumber, anyNumber}, access: mayAll}
	got := mnemonics(deviceProgram([]deviceRule{
		// The rule before the one for everything is not in the program.
		{allow: true, device: device{'c', 9, 9}, access: mayAll},
		everything,
		{allow: true, device: device{'c', 1, anyNumber}, access: mayRead | mayMknod},
		{device: device{'b', 8, 3}, access: mayWrite},
		{allow: true, device: device{'a', anyNumber, 7}, access: mayAll},
	}))
	want := `0: r2 = *(u32 *)(r1 +0)
1: r2 &= 0xffff
2: r3 = *(u32 *)(r1 +0)
3: r3 >>= 16
4: r4 = *(u32 *)(r1 +4)
5: r5 = *(u32 *)(r1 +8)
6: if r5 != 7 goto 9
7: r0 = 1
8: exit
9: if r2 != 1 goto 17
10: if r4 != 8 goto 17
11: if r5 != 3 goto 17
12: r0 = r3
13: r0 &= 0x4
14: if r0 == 0 goto 17
15: r0 = 0
16: exit
17: if r2 != 2 goto 23
18: if r4 != 1 goto 23
19: r3 &= 0x4
20: if r3 != 0 goto 23
21: r0 = 1
22: exit
23: r0 = 0
24: exit
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// runProgram interprets a device program, and fails the test for an invalid one.
func runProgram(t *testing.T, p []instruction, kind byte, a access, major, minor int64) bool {
	t.Helper()
	kinds := map[byte]uint64{'b': unix.BPF_DEVCG_DEV_BLOCK, 'c': unix.BPF_DEVCG_DEV_CHAR}
	ctx := map[int16]uint64{0: uint64(a)<<16 | kinds[kind], 4: uint64(major), 8: uint64(minor)}
	var r [11]uint64
	for pc := 0; pc < len(p); pc++ {
		in := p[pc]
		dst, src := in.registers&15, in.registers>>4
		switch in.op {
		case opLoad32:
			r[dst] = ctx[in.offset]
		case opAnd:
			r[dst] &= uint64(int64(in.imm))
		case opShift:
			r[dst] >>= uint(in.imm)
		case opMov:
			r[dst] = uint64(int64(in.imm))
		case opMovReg:
			r[dst] = r[src]
		case opJumpNE:
			if r[dst] != uint64(int64(in.imm)) {
				pc += int(in.offset)
			}
		case opJumpEQ:
			if r[dst] == uint64(int64(in.imm)) {
				pc += int(in.offset)
			}
		case opExit:
			return r[0] == 1
		}
	}
	t.Fatal("program ends without exit")
	return false
}

// decide is the meaning of rules, operation by operation: the last match.
func decide(rules []deviceRule, kind byte, a access, major, minor int64) bool {
	for bit := mayMknod; bit <= mayWrite; bit <<= 1 {
		if a&bit == 0 {
			continue
		}
		allowed := false
		for _, r := range rules {
			if r.access&bit != 0 && r.covers(device{kind, major, minor}) {
				allowed = r.allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

func TestDeviceProgramMeaning(t *testing.T) {
	for _, text := range []string{"", docker, "allow a", "allow a; deny b 8:0 rw", "allow c 1:* rwm; deny c 1:3 w; allow b 8:0 r; allow b *:* w",
		"allow a; deny a 8:* w; allow b 8:3 rw", "deny c 1:3 rwm; allow a *:* r"} {
		rules, err := deviceRules(parseDevices(t, text))
		if err != nil {
			t.Fatal(err)
		}
		p := deviceProgram(rules)
		for _, kind := range []byte{'b', 'c'} {
			for a := access(1); a <= mayAll; a++ {
				for _, major := range []int64{0, 1, 5, 8, 10, 136} {
					for _, minor := range []int64{0, 1, 2, 3, 9, 229} {
						if got, want := runProgram(t, p, kind, a, major, minor), decide(rules, kind, a, major, minor); got != want {
							t.Fatalf("%q: %c %d:%d %s: %v, want %v\n%s", text, kind, major, minor, a, got, want, mnemonics(p))
						}
					}
				}
			}
		}
	}
}

// opens starts a shell in the cgroup2 directory that opens the path, and reports whether that
// works.
func opens(t *testing.T, dir, redirection string) bool {
	t.Helper()
	cgroup, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", ": " + redirection}, &syscall.ProcAttr{
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}})
	if err != nil {
		t.Fatal(err)
	}
	return exitStatus(t, pid) == 0
}

// TestDeviceProgramInKernel opens devices under programs that are attached to a cgroup of the test.
func TestDeviceProgramInKernel(t *testing.T) {
	needRoot(t)
	layout := hostLayout(t)
	if layout.Unified == "" {
		t.Skip("no cgroup2 hierarchy is mounted")
	}
	dir := filepath.Join(layout.Unified, testID(t))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup2 directory can be made: %v", err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	attach := func(text string) {
		t.Helper()
		rules, err := deviceRules(parseDevices(t, text))
		if err != nil {
			t.Fatal(err)
		}
		err = attachDevices(dir, deviceProgram(rules))
		if err == unix.ENOSYS {
			t.Skipf("the kernel has no BPF: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		// There is one program at any time: it was replaced, not added.
		old, err := attachedDevices(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer old.close()
		if len(old.programs) != 1 {
			t.Errorf("%d device programs attached", len(old.programs))
		}
	}
	check := func(redirection string, want bool) {
		t.Helper()
		if got := opens(t, dir, redirection); got != want {
			t.Errorf("%s: %v, want %v", redirection, got, want)
		}
	}
	check("</dev/kmsg", true)
	attach("")
	check("</dev/zero", true)
	check(">/dev/full", true)
	check("</dev/kmsg", false)
	attach("allow c 1:11 r")
	check("</dev/kmsg", true)
	check(">/dev/kmsg", false)
	attach("allow a; deny c 1:11 w")
	check("</dev/kmsg", true)
	check(">/dev/kmsg", false)
	attach("allow a")
	check(">/dev/kmsg", true)
	attach("allow c 1:* rw; deny c 1:11 rwm")
	check("</dev/kmsg", false)
}

// TestInUserNamespace: a user that may not attach device programs does not need them.
func TestInUserNamespace(t *testing.T) {
	needRoot(t)
	if os.Getenv("ORLOP_TEST_USERNS") != "" {
		fmt.Println("in a user namespace:", inUserNamespace())
		return
	}
	if text, err := os.ReadFile("/proc/self/uid_map"); err == nil && inUserNamespace() != (strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295") {
		t.Errorf("inUserNamespace() = %v with the uid_map %q", inUserNamespace(), text)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestInUserNamespace$", "-test.v")
	cmd.Env = append(os.Environ(), "ORLOP_TEST_USERNS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{Size: 65536}}, GidMappings: []syscall.SysProcIDMap{{Size: 65536}}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EPERM) {
		t.Skipf("no user namespace can be made: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "in a user namespace: true") {
		t.Errorf("%v\n%s", err, out)
	}
}
