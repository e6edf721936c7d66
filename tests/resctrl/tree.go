// Package resctrl is a file system that looks like the kernel's resctrl, for machines whose processors have no such thing: folders that are
// made in it become groups with their files, what is written is checked as the kernel checks it, and processes are in one group each.
//
// It does not divide or count anything, and does not know that children of a process are in its group. It is served by FUSE, so its type in
// mountinfo is fuse: whoever looks for resctrl there has to be shown another text (see MountInfo).
package resctrl

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What the machine has: two L3 caches of 12 parts each, and memory bandwidth in steps of 10 percent.
const (
	cbmMask   = 0xfff
	bandwidth = 10
	closids   = 4
)

// A node is a file or a folder.
type node struct {
	id     uint64
	name   string
	parent *node
	dir    bool
	list   []*node // of a folder
	group  *group  // of a group's folder, and of the files in it
	read   func() string
	write  func(pid int, text string) unix.Errno // nil: it cannot be written
}

// A group is a control group, or a monitoring group of one.
type group struct {
	control *group // of a monitoring group
	l3, mb  [2]uint64
	pids    []int
}

// tree is the file system without its protocol.
type tree struct {
	mu     sync.Mutex
	nodes  map[uint64]*node
	last   uint64
	root   *node
	groups []*group // control groups, the default one first
	status string   // info/last_cmd_status
}

func newTree() *tree {
	t := &tree{nodes: map[uint64]*node{}, status: "ok"}
	t.root = t.add(nil, &node{name: "/", dir: true})
	t.populate(t.root, nil)
	info := t.add(t.root, &node{name: "info", dir: true})
	t.add(info, &node{name: "last_cmd_status", read: func() string { return t.status + "\n" }})
	for folder, files := range map[string]map[string]string{
		"L3":     {"cbm_mask": fmt.Sprintf("%x", cbmMask), "min_cbm_bits": "1", "num_closids": strconv.Itoa(closids)},
		"MB":     {"bandwidth_gran": strconv.Itoa(bandwidth), "delay_linear": "1", "min_bandwidth": "10", "num_closids": strconv.Itoa(closids)},
		"L3_MON": {"mon_features": "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes", "num_rmids": "8"},
	} {
		f := t.add(info, &node{name: folder, dir: true})
		for name, text := range files {
			t.add(f, &node{name: name, read: func() string { return text + "\n" }})
		}
	}
	return t
}

// add puts a node into a folder.
func (t *tree) add(parent, n *node) *node {
	t.last++
	n.id, n.parent = t.last, parent
	t.nodes[n.id] = n
	if parent != nil {
		parent.list = append(parent.list, n)
		if n.group == nil && !parent.isRoot() {
			n.group = parent.group
		}
	}
	return n
}

func (n *node) isRoot() bool { return n.parent == nil }

func (n *node) child(name string) *node {
	for _, c := range n.list {
		if c.name == name {
			return c
		}
	}
	return nil
}

// populate makes a folder a group.
func (t *tree) populate(dir *node, control *group) {
	g := &group{control: control, l3: [2]uint64{cbmMask, cbmMask}, mb: [2]uint64{100, 100}}
	dir.group = g
	t.add(dir, &node{name: "tasks", group: g, read: g.tasks, write: func(pid int, text string) unix.Errno { return t.join(g, pid, text) }})
	t.add(dir, &node{name: "joined", group: g, read: g.joined}) // which the kernel does not have
	data := t.add(dir, &node{name: "mon_data", dir: true})
	for i := range g.l3 {
		cache := t.add(data, &node{name: fmt.Sprintf("mon_L3_%02d", i), dir: true})
		for name, n := range map[string]int{"llc_occupancy": 1000, "mbm_total_bytes": 2000, "mbm_local_bytes": 1500} {
			t.add(cache, &node{name: name, read: func() string { return strconv.Itoa(n+i) + "\n" }})
		}
	}
	if control != nil {
		return
	}
	t.groups = append(t.groups, g)
	t.add(dir, &node{name: "schemata", group: g, read: g.schemata, write: func(_ int, text string) unix.Errno { return t.set(g, text) }})
	t.add(dir, &node{name: "mon_groups", dir: true, group: g})
}

func (g *group) schemata() string {
	return fmt.Sprintf("    L3:0=%03x;1=%03x\n    MB:0=%3d;1=%3d\n", g.l3[0], g.l3[1], g.mb[0], g.mb[1])
}

// tasks lists the processes that are still there.
func (g *group) tasks() string {
	var text strings.Builder
	for _, pid := range g.pids {
		if unix.Kill(pid, 0) != unix.ESRCH {
			fmt.Fprintln(&text, pid)
		}
	}
	return text.String()
}

// joined lists all processes that have ever joined the group.
func (g *group) joined() string {
	var text strings.Builder
	for _, pid := range g.pids {
		fmt.Fprintln(&text, pid)
	}
	return text.String()
}

func (t *tree) refuse(errno unix.Errno, format string, args ...any) unix.Errno {
	t.status = fmt.Sprintf(format, args...)
	return errno
}

// join moves a process, or with 0 the one that asks, into a group.
func (t *tree) join(g *group, asks int, text string) unix.Errno {
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || pid < 0 {
		return t.refuse(unix.EINVAL, "Invalid pid %s", text)
	}
	if pid == 0 {
		pid = asks
	}
	if unix.Kill(pid, 0) == unix.ESRCH {
		return t.refuse(unix.ESRCH, "No task %d", pid)
	}
	if g.control != nil && !slices.Contains(g.control.pids, pid) {
		return t.refuse(unix.EINVAL, "Can't move task to different control group")
	}
	if g.control == nil {
		t.leave(pid)
	}
	g.pids = append(g.pids, pid)
	t.status = "ok"
	return 0
}

// leave takes a process out of all groups.
func (t *tree) leave(pid int) {
	for _, n := range t.nodes {
		if n.group != nil {
			n.group.pids = slices.DeleteFunc(n.group.pids, func(p int) bool { return p == pid })
		}
	}
}

// set sets what a group may use: all lines, or none.
func (t *tree) set(g *group, text string) unix.Errno {
	if !strings.HasSuffix(text, "\n") {
		return unix.EINVAL
	}
	next := *g
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		values, base := &next.l3, 16
		switch name {
		case "L3":
		case "MB":
			values, base = &next.mb, 10
		default:
			return t.refuse(unix.EINVAL, "Unknown or unsupported resource name '%s'", name)
		}
		for part := range strings.SplitSeq(rest, ";") {
			domain, value, _ := strings.Cut(part, "=")
			i, err := strconv.Atoi(domain)
			if err != nil || i < 0 || i > 1 {
				return t.refuse(unix.EINVAL, "Unknown domain %s", domain)
			}
			value = strings.TrimSpace(value)
			if base == 16 {
				value = strings.TrimPrefix(value, "0x")
			}
			n, err := strconv.ParseUint(value, base, 32)
			if err != nil {
				return t.refuse(unix.EINVAL, "Non-number %s", value)
			}
			switch run := n >> bits.TrailingZeros64(n); {
			case base == 16 && (n == 0 || n&^cbmMask != 0 || run&(run+1) != 0):
				return t.refuse(unix.EINVAL, "The mask %x is not one of a run of bits", n)
			case base == 10 && (n < bandwidth || n > 100):
				return t.refuse(unix.EINVAL, "MB value %d out of range [10,100]", n)
			case base == 10:
				n = (n + bandwidth - 1) / bandwidth * bandwidth
			}
			values[i] = n
		}
	}
	g.l3, g.mb, t.status = next.l3, next.mb, "ok"
	return 0
}

// mkdir makes a group.
func (t *tree) mkdir(parent *node, name string) (*node, unix.Errno) {
	monitor := parent.name == "mon_groups"
	switch {
	case parent.child(name) != nil:
		return nil, unix.EEXIST
	case !parent.isRoot() && !monitor:
		return nil, unix.EPERM
	case !monitor && len(t.groups) == closids:
		return nil, t.refuse(unix.ENOSPC, "Out of CLOSIDs")
	}
	n := t.add(parent, &node{name: name, dir: true})
	if monitor {
		t.populate(n, parent.group)
	} else {
		t.populate(n, nil)
	}
	t.status = "ok"
	return n, 0
}

// rmdir removes a group; its processes stay where they are with the group above.
func (t *tree) rmdir(parent *node, name string) unix.Errno {
	n := parent.child(name)
	switch {
	case n == nil:
		return unix.ENOENT
	case !n.dir || n.group == nil || n.name == "mon_groups" || n.name == "mon_data" || !parent.isRoot() && parent.name != "mon_groups":
		return unix.EPERM
	}
	if parent.isRoot() {
		t.root.group.pids = append(t.root.group.pids, n.group.pids...)
		t.groups = slices.DeleteFunc(t.groups, func(g *group) bool { return g == n.group })
	}
	parent.list = slices.DeleteFunc(parent.list, func(c *node) bool { return c == n })
	t.forget(n)
	return 0
}

func (t *tree) forget(n *node) {
	delete(t.nodes, n.id)
	for _, c := range n.list {
		t.forget(c)
	}
}
