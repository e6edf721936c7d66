package libcontainer

import (
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const netDevHeadings = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`

func TestParseNetDev(t *testing.T) {
	got, err := parseNetDev(netDevHeadings +
		"    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n" +
		"  eth0: 1234567890123 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n" +
		"veth1234567@if2:1 2 3 4 5 6 7 8 18446744073709551615 10 11 12 13 14 15 16\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []NetworkInterface{
		{Name: "lo"},
		{Name: "eth0", RxBytes: 1234567890123, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxBytes: 9, TxPackets: 10, TxErrors: 11, TxDropped: 12},
		{Name: "veth1234567@if2", RxBytes: 1, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxBytes: 1<<64 - 1, TxPackets: 10, TxErrors: 11, TxDropped: 12},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	for _, line := range []string{"eth0 1 2 3\n", "eth0: 1 2\n", ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "eth0: 1 -2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"} {
		if got, err := parseNetDev(netDevHeadings + line); err == nil {
			t.Errorf("%q: %+v, want an error", line, got)
		}
	}
	if got, err := parseNetDev(netDevHeadings); err != nil || got != nil {
		t.Errorf("headings alone: %v, %v", got, err)
	}
}

// TestNetworkOfEnding: a process that ends has left its network before it is dead.
func TestNetworkOfEnding(t *testing.T) {
	c := exec.Command("/bin/true")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	if err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if list, err := networkInterfaces(c.Process.Pid); !errors.Is(err, ErrNotRunning) {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := networkInterfaces(os.Getpid()); list != nil || err != nil { // the caller's own
		t.Errorf("%v, %v", list, err)
	}
}

func FuzzParseNetDev(f *testing.F) {
	f.Add(netDevHeadings + "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseNetDev(text)
		if err == nil && len(list) > max(0, strings.Count(text, "\n")-1) {
			t.Errorf("more interfaces than lines: %+v", list)
		}
		for _, i := range list {
			if i.Name == "" || strings.Contains(i.Name, ":") {
				t.Errorf("name %q", i.Name)
			}
		}
	})
}
