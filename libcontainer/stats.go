package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/intelrdt"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// Stats is what the kernel has counted for a container since it was created. Encoded as JSON it is
// the data of a "stats" event, in runc's shape.
type Stats struct {
	cgroups.Stats
	// IntelRDT is empty for a container that is in no group of the resctrl filesystem.
	IntelRDT intelrdt.Stats `json:"intel_rdt"`
	// NetworkInterfaces are those of the first process's network namespace, which other containers
	// may share, as in a pod. It is nil when that is the caller's own: then the counters are the
	// host's.
	NetworkInterfaces []NetworkInterface `json:"network_interfaces"`
}

// A NetworkInterface has the kernel's counters since the interface was made, as seen from the
// container: Rx is what the container received.
type NetworkInterface struct {
	Name string // "lo", "eth0"

	RxBytes   uint64
	RxPackets uint64
	RxErrors  uint64
	RxDropped uint64
	TxBytes   uint64
	TxPackets uint64
	TxErrors  uint64
	TxDropped uint64
}

// Stats reads the container's counters. It takes no lock and stops nothing, so the counters are of
// slightly different moments. The error is ErrNotRunning when the container has stopped, or is not
// created yet.
func (c *Container) Stats() (*Stats, error) {
	s := &Stats{}
	err := c.with(unlocked, func(v *view, status specs.ContainerState) error {
		if status == specs.StateStopped || status == specs.StateCreating {
			return ErrNotRunning
		}
		return v.stats(s)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (v *view) stats(s *Stats) error {
	cgroup, err := v.placement().Cgroup()
	if err != nil {
		return err
	}
	counted, err := cgroup.Stats()
	if err != nil {
		return err
	}
	s.Stats = *counted
	if v.rec.RDTGroup != "" {
		s.IntelRDT, err = intelrdt.Read(v.rec.RDTGroup, v.rec.RDTMonitor)
		if err != nil && !errors.Is(err, ErrNoResctrl) && !errors.Is(err, os.ErrNotExist) { // an administrator may take them away
			return err
		}
	}
	s.NetworkInterfaces, err = networkInterfaces(v.rec.Pid)
	// Checked afterwards: if the process runs now, the cgroup existed and the PID was its own all
	// the time.
	alive, aliveErr := sys.Alive(v.rec.Pid, v.rec.StartTime)
	if aliveErr != nil {
		return aliveErr
	}
	if !alive {
		return ErrNotRunning
	}
	return err
}

// networkInterfaces reads the network counters that a process sees. A process that ends leaves its
// namespaces first, and counts as ended then.
func networkInterfaces(pid int) ([]NetworkInterface, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	same, err := sameFile(dir+"/ns/net", "/proc/thread-self/ns/net")
	var text []byte
	if err == nil && !same {
		text, err = os.ReadFile(dir + "/net/dev")
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, ErrNotRunning
	}
	if err != nil || same {
		return nil, err
	}
	list, err := parseNetDev(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s/net/dev: %w", dir, err)
	}
	return list, nil
}

func sameFile(a, b string) (bool, error) {
	first, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second), err
}

// parseNetDev reads the text of /proc/PID/net/dev (proc_pid_net(5)): two lines of headings, and a
// line for each interface.
//
//	Inter-|   Receive                                                |  Transmit
//	 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
//	    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
func parseNetDev(text string) ([]NetworkInterface, error) {
	var list []NetworkInterface
	n := 0
	for line := range strings.Lines(text) {
		if n++; n <= 2 {
			continue
		}
		// An interface's name has neither blanks nor colons.
		name, numbers, ok := strings.Cut(strings.TrimSpace(line), ":")
		i := NetworkInterface{Name: name}
		err := errors.New("names no interface")
		if ok && name != "" {
			err = i.parse(strings.Fields(numbers))
		}
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		list = append(list, i)
	}
	return list, nil
}

func (i *NetworkInterface) parse(fields []string) error {
	const transmit = 8 // the first column of what was sent
	if len(fields) < 2*transmit {
		return fmt.Errorf("%d numbers, not %d", len(fields), 2*transmit)
	}
	for _, column := range [...]struct {
		at int
		to *uint64
	}{
		{0, &i.RxBytes}, {1, &i.RxPackets}, {2, &i.RxErrors}, {3, &i.RxDropped},
		{transmit, &i.TxBytes}, {transmit + 1, &i.TxPackets}, {transmit + 2, &i.TxErrors}, {transmit + 3, &i.TxDropped},
	} {
		n, err := strconv.ParseUint(fields[column.at], 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", fields[column.at])
		}
		*column.to = n
	}
	return nil
}
