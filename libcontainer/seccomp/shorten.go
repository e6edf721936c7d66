package seccomp

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

// shorten returns a program that has the same results as the given one, and is shorter where that
// compares the number of the system call with one number after the other: calls with consecutive
// numbers and the same result become one span, and a binary tree finds the span. Everything after
// the number (the arguments) stays as it is. The kernel checks and translates each instruction at
// each start of a container: Docker's profile has 322 instead of 1,250, which takes 0.1 ms instead
// of 0.3.
//
// A program with instructions that libseccomp does not write is returned unchanged.
func shorten(program []byte) []byte {
	g, ok := parseGraph(program)
	if !ok {
		return program
	}
	w := &writer{labels: make(map[int]int, len(g)), next: len(g)}
	w.rewrite(g)
	if short, ok := w.assemble(); ok && len(short) < len(program) {
		return short
	}
	return program
}

// Instructions of struct sock_filter.
const (
	opLoad   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opAbove  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opFrom   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opBits   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	opJump   = unix.BPF_JMP | unix.BPF_JA
	opResult = unix.BPF_RET | unix.BPF_K
)

// numberOffset is the offset in struct seccomp_data of the number of the system call, archOffset
// that of its architecture.
const (
	numberOffset = 0
	archOffset   = 4
	argsOffset   = 16
)

// A node is an instruction with the nodes that it leads to: yes and no of a comparison, only yes of
// another one. All come later than the node.
type node struct {
	op      uint16
	k       uint32
	yes, no int
}

func (n *node) branches() bool {
	return n.op == opEqual || n.op == opAbove || n.op == opFrom || n.op == opBits
}

// A graph has the nodes of a program by their indexes in it.
type graph []node

func parseGraph(program []byte) (graph, bool) {
	g := make(graph, len(program)/8)
	for i := range g {
		b := program[8*i:]
		n := node{op: binary.NativeEndian.Uint16(b), k: binary.NativeEndian.Uint32(b[4:]), yes: i + 1}
		switch n.op {
		case opLoad, opAnd:
		case opResult:
			n.yes = i
		case opJump:
			if n.k >= uint32(len(g)) {
				return nil, false
			}
			n.yes += int(n.k)
		case opEqual, opAbove, opFrom, opBits:
			n.yes, n.no = i+1+int(b[2]), i+1+int(b[3])
		default:
			return nil, false
		}
		if max(n.yes, n.no) >= len(g) {
			return nil, false
		}
		g[i] = n
	}
	return g, len(g) > 0 && g[0].op != opJump
}

// follow returns the node that is reached at an index after any jumps.
func (g graph) follow(at int) int {
	for g[at].op == opJump {
		at = g[at].yes
	}
	return at
}

// A span is the numbers from first up to the next span's, with the node that continues for them.
type span struct {
	first uint32
	to    int
}

// spans appends the spans of the numbers first to last, for a loaded number and the node at index
// at.
func (g graph) spans(at int, first, last uint32, list []span) []span {
	at = g.follow(at)
	n := &g[at]
	from := uint64(n.k) // n.yes is for the numbers from here
	switch n.op {
	case opEqual:
		if n.k < first || n.k > last {
			return g.spans(n.no, first, last, list)
		}
		if first < n.k {
			list = g.spans(n.no, first, n.k-1, list)
		}
		list = g.spans(n.yes, n.k, n.k, list)
		if n.k < last {
			list = g.spans(n.no, n.k+1, last, list)
		}
		return list
	case opAbove:
		from++
	case opFrom:
	default:
		if len(list) > 0 && g.same(list[len(list)-1].to, at) {
			return list
		}
		return append(list, span{first, at})
	}
	if uint64(first) < from {
		list = g.spans(n.no, first, uint32(min(uint64(last), from-1)), list)
	}
	if uint64(last) >= from {
		list = g.spans(n.yes, uint32(max(uint64(first), from)), last, list)
	}
	return list
}

// same reports whether two nodes are equivalent: they are the same one, or return the same result.
func (g graph) same(a, b int) bool {
	return a == b || g[a].op == opResult && g[b].op == opResult && g[a].k == g[b].k
}

// A writer has the nodes of the new program in their order. Their yes and no are labels: the index
// of a node of the old program, or a greater number.
type writer struct {
	nodes  []node
	labels map[int]int // the index in nodes of a label's node
	next   int         // a free label
}

// rewrite writes all reachable nodes. Since all paths lead forward, a node's reachability is known
// when its turn comes.
func (w *writer) rewrite(g graph) {
	reached := make([]bool, len(g))
	reached[0] = true
	for i, n := range g {
		if !reached[i] {
			continue
		}
		switch {
		case n.op == opResult:
			w.add(i, n)
		case n.op == opLoad && n.k == numberOffset:
			spans := g.spans(n.yes, 0, math.MaxUint32, nil)
			for _, s := range spans {
				reached[s.to] = reached[s.to] || g[s.to].op != opResult
			}
			w.tree(i, n, g, spans)
		default:
			n.yes = g.follow(n.yes)
			reached[n.yes] = true
			if n.branches() {
				n.no = g.follow(n.no)
				reached[n.no] = true
			}
			w.add(i, n)
		}
	}
}

func (w *writer) add(label int, n node) (at int) {
	w.labels[label] = len(w.nodes)
	w.nodes = append(w.nodes, n)
	return len(w.nodes) - 1
}

// label returns a free label.
func (w *writer) label() int {
	w.next++
	return w.next - 1
}

// tree writes a load of the number and the search for its span. The results follow immediately,
// each once, because a comparison reaches no further than 255 instructions.
func (w *writer) tree(label int, load node, g graph, spans []span) {
	answers := make(map[uint32]int)
	var order []uint32
	var decide func(spans []span) int
	decide = func(spans []span) int {
		if len(spans) == 1 {
			to := spans[0].to
			if g[to].op != opResult {
				return to
			}
			k := g[to].k
			if _, ok := answers[k]; !ok {
				answers[k] = w.label()
				order = append(order, k)
			}
			return answers[k]
		}
		half := len(spans) / 2
		here := w.label()
		at := w.add(here, node{op: opFrom, k: spans[half].first})
		no := decide(spans[:half])
		yes := decide(spans[half:])
		w.nodes[at].yes, w.nodes[at].no = yes, no
		return here
	}
	at := w.add(label, load)
	w.nodes[at].yes = decide(spans)
	for _, k := range order {
		w.add(answers[k], node{op: opResult, k: k})
	}
}

// assemble assigns positions to the nodes. Where a target is too far for a comparison, or is not
// the next node, a jump follows the node.
func (w *writer) assemble() ([]byte, bool) {
	far := make([][2]bool, len(w.nodes)) // whether there is a jump for yes, and for no
	places := make([]int, len(w.nodes)+1)
	place := func(label int) int { return places[w.labels[label]] }
	for changed := true; changed; {
		changed = false
		for i := range w.nodes {
			places[i+1] = places[i] + 1
			for _, jumps := range far[i] {
				if jumps {
					places[i+1]++
				}
			}
		}
		for i := range w.nodes {
			n := &w.nodes[i]
			here, old := places[i]+1, far[i]
			switch {
			case n.branches():
				far[i][0] = old[0] || place(n.yes)-here > math.MaxUint8
				far[i][1] = old[1] || place(n.no)-here > math.MaxUint8
			case n.op != opResult:
				far[i][0] = w.labels[n.yes] != i+1
			}
			changed = changed || far[i] != old
		}
	}
	var code []byte
	for i := range w.nodes {
		n := &w.nodes[i]
		here, behind := places[i]+1, places[i]+1 // behind is the position of the next jump
		ways := [2]int{}
		if n.branches() {
			ways = [2]int{place(n.yes) - here, place(n.no) - here}
			for j := range ways {
				if far[i][j] {
					ways[j] = behind - here
					behind++
				}
				if ways[j] < 0 || ways[j] > math.MaxUint8 {
					return nil, false
				}
			}
		}
		code = appendInstruction(code, n.op, uint8(ways[0]), uint8(ways[1]), n.k)
		for j, to := range [2]int{n.yes, n.no} {
			if far[i][j] {
				here++
				if place(to) < here {
					return nil, false
				}
				code = appendInstruction(code, opJump, 0, 0, uint32(place(to)-here))
			}
		}
	}
	return code, true
}

func appendInstruction(code []byte, op uint16, yes, no uint8, k uint32) []byte {
	code = binary.NativeEndian.AppendUint16(code, op)
	code = append(code, yes, no)
	return binary.NativeEndian.AppendUint32(code, k)
}
