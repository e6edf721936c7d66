package libcontainer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseNetDev reads the text of /proc/PID/net/dev (proc_pid_net(5)): two lines of headings, and a line for each interface.
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
