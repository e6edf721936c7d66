package netdev

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A world is two network namespaces: the test's own, and one in the role of a container's.
type world struct {
	t         *testing.T
	container *os.File
	transfer  *Transfer
}

// in runs a test on a thread and in a network namespace of its own, with a second namespace.
func in(t *testing.T, test func(*world)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (Debian: iproute2): ", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the namespaces end with the thread
		w := &world{t: t}
		w.container = newNamespace(t)
		defer w.container.Close()
		newNamespace(t).Close()
		var err error
		if w.transfer, err = Open(w.container); err != nil {
			t.Error(err)
			return
		}
		defer w.transfer.Close()
		test(w)
	}()
	<-done
}

// newNamespace moves the thread to a new network namespace and returns its file.
func newNamespace(t *testing.T) *os.File {
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		var f *os.File
		if f, err = os.Open("/proc/thread-self/ns/net"); err == nil {
			return f
		}
	}
	t.Error(err)
	runtime.Goexit()
	return nil
}

// must ends the test at an error. (FailNow is for the test's own goroutine.)
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Error(err)
		runtime.Goexit()
	}
}

// host runs commands in the test's own namespace, one per line, and returns their output.
func (w *world) host(script string) string {
	w.t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		w.t.Errorf("%s: %v\n%s", script, err, out)
		runtime.Goexit()
	}
	return string(out)
}

// inside is host in the container's namespace.
func (w *world) inside(script string) string {
	w.t.Helper()
	own, err := os.Open("/proc/thread-self/ns/net")
	w.must(err)
	defer own.Close()
	w.must(unix.Setns(int(w.container.Fd()), unix.CLONE_NEWNET))
	defer func() { w.must(unix.Setns(int(own.Fd()), unix.CLONE_NEWNET)) }()
	return w.host(script)
}

// move moves and configures a device.
func (w *world) move(host, name string) (*Device, error) {
	l, err := w.transfer.Inspect(host, name)
	if err == nil {
		err = w.transfer.Move(l)
	}
	if err == nil {
		err = w.transfer.Configure(l)
	}
	return l, err
}

// wants fails the test unless an error contains a text.
func (w *world) wants(err error, text string) {
	w.t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		w.t.Errorf("error %v, want %q", err, text)
	}
}

// details returns `ip`'s output about a device, without the state of IPv6's duplicate address
// detection, which changes by itself.
func details(text string) string {
	return regexp.MustCompile(` (tentative|optimistic)|valid_lft \w+ preferred_lft \w+`).ReplaceAllString(text, "")
}

const devices = `
ip link add a0 mtu 1400 txqueuelen 77 address 02:00:00:00:00:0a type veth peer name b0
ip link set a0 alias 'the first' group 7
ip address add 10.1.2.3/24 broadcast + dev a0
ip address add 10.1.2.4/24 label a0:2 dev a0
ip address add 10.9.0.1 peer 10.9.0.2/32 metric 300 dev a0
ip address add 10.1.9.9/24 noprefixroute dev a0
ip address add 169.254.1.1/16 scope link dev a0
ip address add 10.7.7.7/24 valid_lft 1000 preferred_lft 900 dev a0
ip address add fd00::a/64 nodad dev a0
ip address add fd00::b/64 nodad valid_lft 1000 preferred_lft 900 dev a0
ip link set a0 up
`

// TestMove: a device keeps its attributes and its permanent global addresses, and is up; it loses
// addresses of other kinds.
func TestMove(t *testing.T) {
	in(t, func(w *world) {
		w.host(devices)
		before := w.host("ip -d link show a0")
		l, err := w.move("a0", "eth7")
		w.must(err)
		link := w.inside("ip -d link show eth7")
		for _, want := range []string{"mtu 1400", "qlen 77", "02:00:00:00:00:0a", "alias the first", "group 7", "veth"} {
			if !strings.Contains(before, want) || !strings.Contains(link, want) {
				t.Errorf("want %s\nbefore: %s\nafter: %s", want, before, link)
			}
		}
		if !strings.Contains(link, ",UP") {
			t.Errorf("the device is not up: %s", link)
		}
		got := w.inside("ip -o address show dev eth7 scope global; ip -o -4 address show dev eth7 scope link")
		for _, want := range []string{
			"inet 10.1.2.3/24 brd 10.1.2.255 scope global eth7\\",
			"inet 10.1.2.4/24 scope global secondary eth7:2\\",
			"inet 10.9.0.1 peer 10.9.0.2/32 metric 300 scope global eth7\\",
			"inet 10.1.9.9/24 scope global noprefixroute eth7\\",
			"inet6 fd00::a/64 scope global nodad \\",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		if n := strings.Count(got, "inet"); n != 5 {
			t.Errorf("%d addresses, want 5:\n%s", n, got)
		}
		if routes := w.inside("ip route"); !strings.Contains(routes, "10.1.2.0/24 dev eth7") || strings.Contains(routes, "10.1.9.0") {
			t.Errorf("routes:\n%s", routes)
		}
		if out := w.host("ip -o link"); strings.Contains(out, "a0@") {
			t.Errorf("the device is still here:\n%s", out)
		}
		if l.Index == 0 {
			t.Error("its number in the container is not known")
		}
	})
}

// TestReturn: at whatever stage, a device is returned in its previous state.
func TestReturn(t *testing.T) {
	for name, stage := range map[string]func(*world, *Device) error{
		"looked at": func(*world, *Device) error { return nil },
		"moved":     func(w *world, l *Device) error { return w.transfer.Move(l) },
		"moved, and the runtime does not know it": func(w *world, l *Device) error {
			defer func() { l.Index = 0 }()
			return w.transfer.Move(l)
		},
		"settled": func(w *world, l *Device) error { return errors.Join(w.transfer.Move(l), w.transfer.Configure(l)) },
		"settled under a found name": func(w *world, l *Device) error {
			l.Name = "eth%d"
			return errors.Join(w.transfer.Move(l), w.transfer.Configure(l))
		},
		"returned, but for its addresses": func(w *world, l *Device) error {
			err := errors.Join(w.transfer.Move(l), w.transfer.Configure(l))
			return errors.Join(err, w.transfer.container.move(l.Index, int(w.transfer.hostFile.Fd()), "a0"))
		},
		"its name is taken in there": func(w *world, l *Device) error { w.inside("ip link add a0 type bridge"); return w.transfer.Move(l) },
		"its number is taken in here": func(w *world, l *Device) error {
			err := w.transfer.Move(l)
			w.host("ip link add index 40 type bridge")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.host(strings.ReplaceAll(devices, "ip link add a0", "ip link add a0 index 40"))
				w.host("ip link add br0 type bridge; ip link set a0 master br0")
				show := "ip -d link show a0 | sed 's/^[0-9]*: //'; ip address show dev a0 | sed 's/^[0-9]*: //'; ip route show dev a0"
				before := details(w.host(show))
				l, err := w.transfer.Inspect("a0", "eth7")
				w.must(err)
				w.must(stage(w, l))
				w.must(w.transfer.Return(l))
				if after := details(w.host(show)); withoutTimers(after) != withoutTimers(before) {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
				if out := w.inside("ip -o link"); strings.Contains(out, "veth") || strings.Contains(out, "orlop") {
					t.Errorf("still in the container:\n%s", out)
				}
			})
		})
	}
}

// withoutTimers removes a bridge's counters.
func withoutTimers(text string) string {
	return regexp.MustCompile(`(hold_timer|message_age_timer|forward_delay_timer|qdisc) +\S+|port_(id|no) \S+|state \S+|designated_\S+ \S+`).ReplaceAllString(text, "")
}

// TestReturnDown: a device that was down stays down.
func TestReturnDown(t *testing.T) {
	in(t, func(w *world) {
		w.host("ip link add a0 type veth peer name b0; ip address add 10.0.0.1/24 dev a0")
		l, err := w.move("a0", "a0")
		w.must(err)
		w.must(w.transfer.Return(l))
		out := w.host("ip address show dev a0")
		if !strings.Contains(out, "state DOWN") || strings.Contains(out, "UP") || !strings.Contains(out, "10.0.0.1/24") {
			t.Error(out)
		}
	})
}

// TestNames: devices that exchange names, and templates, which the kernel fills in.
func TestNames(t *testing.T) {
	in(t, func(w *world) {
		w.host("ip link add c0 type veth peer name d0; ip link set c0 address 02:00:00:00:00:0c")
		var devices []*Device
		for host, name := range map[string]string{"c0": "d0", "d0": "c0"} {
			l, err := w.transfer.Inspect(host, name)
			w.must(err)
			devices = append(devices, l)
			w.must(w.transfer.Move(l))
		}
		for _, l := range devices {
			w.must(w.transfer.Configure(l))
		}
		if out := w.inside("ip -o link show d0"); !strings.Contains(out, "02:00:00:00:00:0c") {
			t.Error(out)
		}
	})
	in(t, func(w *world) {
		w.host("ip link add a0 type veth peer name b0")
		w.inside("ip link add eth0 type bridge; ip link add eth2 type bridge")
		for _, host := range []string{"a0", "b0"} {
			_, err := w.move(host, "eth%d")
			w.must(err)
		}
		if out := w.inside("ip -o link"); !strings.Contains(out, "eth1@eth3") || !strings.Contains(out, "eth3@eth1") {
			t.Error(out)
		}
	})
}

// TestRefusals: a device that cannot be moved stays where it is.
func TestRefusals(t *testing.T) {
	in(t, func(w *world) {
		w.host("ip link add a0 type veth peer name b0")
		w.inside("ip link add eth0 type bridge")
		if _, err := w.transfer.Inspect("a0", "eth0"); !errors.Is(err, ErrTaken) {
			t.Errorf("a name that is taken: %v", err)
		}
		if _, err := w.transfer.Inspect("a0", "lo"); !errors.Is(err, ErrTaken) {
			t.Errorf("lo: %v", err)
		}
		_, err := w.transfer.Inspect("nosuch", "eth1")
		if w.wants(err, "find the device: no such device"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("no device: %#v", err)
		}
		w.host("ip link add br0 type bridge")
		_, err = w.move("br0", "br0")
		// The kernel's own message follows.
		w.wants(err, "move the device to the container's network namespace: invalid argument: ")
		// The name is taken between Inspect and Move.
		l, err := w.transfer.Inspect("a0", "eth1")
		w.must(err)
		w.must(w.transfer.Move(l))
		w.inside("ip link add eth1 type bridge")
		if err := w.transfer.Configure(l); !errors.Is(err, ErrTaken) {
			t.Errorf("a name that is taken meanwhile: %v", err)
		}
		w.must(w.transfer.Return(l))
		// Meanwhile the old name is taken.
		l, err = w.move("a0", "eth2")
		w.must(err)
		w.host("ip link add a0 type bridge")
		w.wants(w.transfer.Return(l), "return the device: file exists")
		own, err := os.Open("/proc/thread-self/ns/net")
		w.must(err)
		defer own.Close()
		if _, err := Open(own); !errors.Is(err, ErrSame) {
			t.Errorf("no other namespace: %v", err)
		}
	})
}

// TestConfigureFails: an address that the container's namespace refuses.
func TestConfigureFails(t *testing.T) {
	in(t, func(w *world) {
		w.host("ip link add a0 type veth peer name b0; ip address add fd00::1/64 dev a0")
		w.inside("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
		l, err := w.move("a0", "eth0")
		w.wants(err, "set its address in the container: ")
		w.must(w.transfer.Return(l))
		if out := w.host("ip address show dev a0"); !strings.Contains(out, "fd00::1/64") {
			t.Error(out)
		}
	})
}

// TestThreads: no thread of the program stays in the container's namespace.
func TestThreads(t *testing.T) {
	in(t, func(w *world) {
		there, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(w.container.Fd())))
		w.must(err)
		tasks, err := os.ReadDir("/proc/self/task")
		w.must(err)
		for _, task := range tasks {
			if ns, _ := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net"); ns == there {
				t.Errorf("thread %s is in the container's network namespace", task.Name())
			}
		}
	})
}
