package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// A network is a network namespace of a test. Runtimes that run in it cannot harm the host's
// devices.
type network struct {
	b    *harness.Box
	path string
}

// newNetwork makes one, which ends with the test.
func newNetwork(b *harness.Box) *network {
	b.T.Helper()
	harness.OrlopOnly(b.T, "linux.netDevices are new in runc 1.4")
	for _, tool := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.T.Skip("needs ", err)
		}
	}
	type made struct {
		f   *os.File
		err error
	}
	done := make(chan made)
	var enter func()
	enter = func() {
		runtime.LockOSThread() // never unlocked: the thread exits in it
		if unix.Gettid() == os.Getpid() {
			// Not the main thread, which represents the process in /proc and does not exit: another
			// goroutine gets another one.
			go enter()
			select {}
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{nil, err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		done <- made{f, err}
	}
	go enter()
	m := <-done
	if m.err != nil {
		b.T.Fatal(m.err)
	}
	b.After(func() { m.f.Close() })
	return &network{b, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.f.Fd())}
}

func (n *network) wrap() []string { return []string{"nsenter", "--net=" + n.path} }

// sh runs a script in the namespace, and returns its output.
func (n *network) sh(script string) string {
	n.b.T.Helper()
	out, err := os.CreateTemp(n.b.Dir, "sh")
	if err != nil {
		n.b.T.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("nsenter", "--net="+n.path, "sh", "-ec", script)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	n.b.Aside(cmd)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		n.b.T.Fatal(err)
	}
	return string(text)
}

// cmd returns a command of the runtime in the namespace.
func (n *network) cmd(b *harness.Box, args ...string) *harness.Command {
	c := b.Cmd(args...)
	c.Wrap = n.wrap()
	return c
}

// run runs a container in the foreground.
func (n *network) run(b *harness.Box, changes ...func(*specs.Spec)) harness.Result {
	b.T.Helper()
	for _, change := range changes {
		change(b.Spec)
	}
	b.Write()
	return n.cmd(b, "run", "--bundle", b.Bundle, b.ID).Run()
}

// devices adds entries to linux.netDevices, in pairs of a name on the host and one in the
// container.
func devices(names ...string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		if s.Linux.NetDevices == nil {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{}
		}
		for i := 0; i < len(names); i += 2 {
			s.Linux.NetDevices[names[i]] = specs.LinuxNetDevice{Name: names[i+1]}
		}
	}
}

// twoDevices makes a pair of devices with addresses.
const twoDevices = `
ip link add v0 mtu 1300 address 02:00:00:00:00:01 type veth peer name v1
ip address add 10.99.0.1/24 dev v0
ip address add fd99::1/64 dev v0 nodad
ip address add 10.99.0.2/24 dev v1
ip address add fd99::2/64 dev v1 nodad
ip link set v0 up
`

// TestNetDevicesPing: two containers with the ends of a veth pair communicate, in network
// namespaces of every origin.
func TestNetDevicesPing(t *testing.T) {
	for _, origin := range []string{"new", "in a new user namespace", "joined", "in a joined user namespace"} {
		t.Run(origin, func(t *testing.T) {
			first, second := harness.New(t), harness.New(t)
			n := newNetwork(first)
			n.sh(twoDevices)
			switch origin {
			case "joined":
				harness.WithNamespace("network", newNetwork(first).path)(first.Spec)
			case "in a new user namespace":
				withUser(shifted())(first.Spec)
				own(t, first, 100000)
			case "in a joined user namespace":
				pod := harness.New(t, withUser(shifted()))
				own(t, pod, 100000)
				pid := pod.Up()
				harness.WithNamespace("user", nsFile(pid, "user"))(first.Spec)
				harness.WithNamespace("network", nsFile(pid, "net"))(first.Spec)
				own(t, first, 100000)
			}
			first.Spec.Process.Args = []string{"sleep", "1000"}
			devices("v0", "eth0")(first.Spec)
			first.Write()
			n.cmd(first, "create", "--bundle", first.Bundle, first.ID).Run().OK(first)
			first.OK("start", first.ID)
			// A process that joins the container sees the device, too.
			if got := first.OK("exec", first.ID, "ip", "-o", "address", "show", "dev", "eth0"); !strings.Contains(got, "inet 10.99.0.1/24 ") {
				t.Errorf("exec finds\n%s", got)
			}
			got := n.run(second, devices("v1", ""), harness.Caps("CAP_NET_RAW"),
				harness.Sh("ip -o link; ip -o address; ping -c 1 -w 10 10.99.0.1 && ping -c 1 -w 10 fd99::1")).OK(second)
			for _, want := range []string{": v1@", ",UP", "inet 10.99.0.2/24 ", "inet6 fd99::2/64 ", "64 bytes from 10.99.0.1", "64 bytes from fd99::1"} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

// TestNetDevices: name, attributes and addresses as the container sees them; its sysctls and hooks
// find the devices in place.
func TestNetDevices(t *testing.T) {
	needBusybox(t)
	b := harness.New(t)
	n := newNetwork(b)
	n.sh(twoDevices)
	b.Spec.Linux.Sysctl = map[string]string{"net.ipv4.conf.eth7.proxy_arp": "1"}
	log := logged(b)
	addHook(b, "createRuntime", "ip -o link | grep -c veth >>"+log+"; true")
	addHook(b, "createContainer", "ip -o link | grep -c eth7@ >>"+log)
	got := n.run(b, devices("v0", "eth7", "v1", "eth%d"), harness.Sh(
		"ip -o link; ip -o address; cat /sys/class/net/eth7/mtu /sys/class/net/eth7/address /proc/sys/net/ipv4/conf/eth7/proxy_arp")).OK(b)
	for _, want := range []string{"eth7@eth0: <BROADCAST,MULTICAST,UP", "eth0@eth7: <BROADCAST,MULTICAST,UP", "eth7    inet 10.99.0.1/24", "eth7    inet6 fd99::1/64",
		"eth0    inet 10.99.0.2/24", "eth0    inet6 fd99::2/64", "1300\n02:00:00:00:00:01\n1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := read(t, log); got != "0\n1\n" {
		t.Errorf("hooks see %q", got)
	}
}

// TestNetDevicesStay: devices of a complete container belong to its network namespace: the end of
// the container does not affect them.
func TestNetDevicesStay(t *testing.T) {
	for _, start := range []bool{false, true} {
		t.Run(fmt.Sprintf("started %v", start), func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			n, pod := newNetwork(b), newNetwork(b)
			n.sh(twoDevices)
			harness.WithNamespace("network", pod.path)(b.Spec)
			devices("v0", "eth0")(b.Spec)
			b.Write()
			n.cmd(b, "create", "--bundle", b.Bundle, b.ID).Run().OK(b)
			if start {
				b.OK("start", b.ID)
			}
			n.cmd(b, "delete", "--force", b.ID).Run().OK(b)
			if out := pod.sh("ip -o address"); !strings.Contains(out, "eth0    inet 10.99.0.1/24") {
				t.Errorf("in the namespace:\n%s", out)
			}
			if out := n.sh("ip -o link"); strings.Contains(out, "v0@") {
				t.Errorf("on the host:\n%s", out)
			}
		})
	}
}

// stable removes what varies in a description of devices: IPv6's duplicate address detection, and
// the indexes of devices and namespaces.
func stable(text string) string {
	return regexp.MustCompile(`(?m) tentative|^\d+: | link-netns\S* \S+| state \S+|,LOWER_UP|NO-CARRIER,|.*inet6 fe80.*\n?`).ReplaceAllString(text, "")
}

// TestNetDevicesFailure: whatever makes a container fail, all devices are returned in their
// previous state.
func TestNetDevicesFailure(t *testing.T) {
	needBusybox(t)
	fails := map[string]struct {
		change func(*specs.Spec)
		pod    string // devices in the joined network namespace
		text   string
	}{
		"no such device":            {devices("v0", "eth0", "v9", ""), "", `linux.netDevices.v9: find the device: no such device`},
		"name taken":                {devices("v0", "eth0", "v1", "lo"), "", `linux.netDevices.v1: lo: the container's network namespace already has a device with this name`},
		"no IPv6 in the container":  {devices("v0", "eth0", "v1", ""), "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6", `linux.netDevices.v0: set its address in the container: `},
		"a device that stays":       {devices("v0", "", "v1", "", "w0", ""), "", `linux.netDevices.w0: move the device to the container's network namespace: invalid argument: `},
		"createRuntime hook":        {hook("createRuntime"), "", "hooks.createRuntime[0]"},
		"createContainer hook":      {hook("createContainer"), "", "hooks.createContainer[0]"},
		"no program":                {harness.Args("/no/such"), "", "no such file or directory"},
		"not a program":             {harness.Args("/etc/passwd"), "", "permission denied"},
		"sysctl of another device":  {func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.conf.v9.proxy_arp": "1"} }, "", "linux.sysctl"},
		"a broken program, at exec": {harness.Args("/broken"), "", "exec format error"},
	}
	for name, tt := range fails {
		for _, joined := range []bool{false, true} {
			if !joined && tt.pod != "" {
				continue
			}
			for _, command := range []string{"run", "create"} {
				if command == "create" && strings.HasSuffix(name, "at exec") {
					continue // it would be created
				}
				t.Run(fmt.Sprintf("%s, joined %v, %s", name, joined, command), func(t *testing.T) {
					b := harness.New(t)
					must(t, os.WriteFile(b.Rootfs+"/broken", []byte{1, 2, 3}, 0o755))
					n := newNetwork(b)
					n.sh(twoDevices + "ip link add w0 type bridge")
					if joined {
						pod := newNetwork(b)
						pod.sh(tt.pod)
						harness.WithNamespace("network", pod.path)(b.Spec)
						defer func() {
							if out := pod.sh("ip -o link"); strings.Contains(out, "veth") || strings.Contains(out, "orlop") || strings.Count(out, "\n") != strings.Count(n.sh("unshare -n ip -o link"), "\n") {
								t.Errorf("left in the container's namespace:\n%s", out)
							}
						}()
					}
					devices("v0", "eth0", "v1", "")(b.Spec)
					tt.change(b.Spec)
					b.Write()
					before := n.sh("ip address")
					n.cmd(b, command, "--bundle", b.Bundle, b.ID).Run().Fails(b, tt.text)
					if after := n.sh("ip address"); stable(after) != stable(before) {
						t.Errorf("before:\n%s\nafter:\n%s", before, after)
					}
					b.CheckClean()
				})
			}
		}
	}
}

func hook(kind string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{}
		*hookList(s.Hooks, kind) = []specs.Hook{{Path: "/bin/busybox", Args: []string{"busybox", "false"}}}
	}
}

// TestNetDevicesOwnNamespace: in the runtime's own network namespace a device cannot be moved.
func TestNetDevicesOwnNamespace(t *testing.T) {
	b := harness.New(t)
	n := newNetwork(b)
	n.sh(twoDevices)
	n.run(b, devices("v0", "eth0"), harness.WithNamespace("network", n.path)).Fails(b, "linux.netDevices: the network namespace is the runtime's own")
	n.run(b, harness.WithoutNamespace("network")).Fails(b, "linux.netDevices: needs a network namespace")
	b.CheckClean()
}

// TestNetDevicesKilled: delete returns devices that a killed create has moved to a joined
// namespace. With a new namespace the kernel decides: a veth pair ends with it.
func TestNetDevicesKilled(t *testing.T) {
	needBusybox(t)
	for _, joined := range []bool{false, true} {
		t.Run(fmt.Sprintf("joined %v", joined), func(t *testing.T) {
			b := harness.New(t)
			n, pod := newNetwork(b), newNetwork(b)
			n.sh(twoDevices)
			before := n.sh("ip address")
			if joined {
				harness.WithNamespace("network", pod.path)(b.Spec)
			}
			devices("v0", "eth%d", "v1", "")(b.Spec)
			addHook(b, "createRuntime", "exec sleep 1000")
			p := n.cmd(b, "create", "--bundle", b.Bundle, b.ID).Start()
			sleep := childOf(t, p.Pid, "sleep")
			if out := n.sh("ip -o link"); strings.Contains(out, "veth") {
				t.Errorf("not moved:\n%s", out)
			}
			p.Signal(unix.SIGKILL)
			p.Wait()
			b.WaitGone(sleep) // it exits with the runtime
			n.cmd(b, "delete", "--force", b.ID).Run().OK(b)
			if joined {
				if after := n.sh("ip address"); stable(after) != stable(before) {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
				if out := pod.sh("ip -o link"); strings.Contains(out, "eth0") || strings.Contains(out, "v1") {
					t.Errorf("left in the container's namespace:\n%s", out)
				}
			}
			b.CheckClean()
		})
	}
}

// TestNetDevicesKilledAtRandom is the same at any moment of the move.
func TestNetDevicesKilledAtRandom(t *testing.T) {
	killed := 0
	for range 12 {
		b := harness.New(t, harness.Args("sleep", "1000"), devices("v0", "eth%d", "v1", "eth0"))
		n, pod := newNetwork(b), newNetwork(b)
		n.sh(twoDevices)
		before := n.sh("ip address")
		harness.WithNamespace("network", pod.path)(b.Spec)
		b.Write()
		p := n.cmd(b, "create", "--bundle", b.Bundle, b.ID).Start()
		// The moment is the test's parameter: there is no event to wait for.
		time.Sleep(rand.N(40 * time.Millisecond))
		p.Signal(unix.SIGKILL)
		p.Wait()
		r := b.Do("state", b.ID)
		n.cmd(b, "delete", "--force", b.ID).Run().OK(b)
		if strings.Contains(r.Stdout, `"status": "created"`) {
			continue // and the devices belong to the namespace
		}
		killed++
		if after := n.sh("ip address"); stable(after) != stable(before) {
			t.Fatalf("before:\n%s\nafter:\n%s", before, after)
		}
		b.CheckClean()
	}
	if killed == 0 {
		t.Skip("no create was killed in time")
	}
}
