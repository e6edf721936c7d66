package specconv

import (
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// checker collects the faults of one configuration. Its methods, one file per section of the
// specification, never stop at a fault. They build paths only for a fault, since every start of a
// container waits for them.
type checker struct {
	spec     *specs.Spec
	faults   Faults
	unread   Faults // those of values that could not be decoded
	warnings []string
	notes    []string
}

// fault reports what is wrong with a field. It drops the fault if the value could not be decoded,
// which is reported already and would only be called missing.
func (c *checker) fault(path, problem string) {
	if slices.ContainsFunc(c.unread, func(f *FieldError) bool { return jsonpath.Holds(f.Path, path) }) {
		return
	}
	c.faults = append(c.faults, Invalid(path, problem))
}

// problem reports the result of one of the functions below, if there is any.
func (c *checker) problem(path, problem string) {
	if problem != "" {
		c.fault(path, problem)
	}
}

// note adds a note, on which nobody needs to act; see Bundle.Notes.
func (c *checker) note(path, text string) {
	c.notes = append(c.notes, path+": "+text)
}

func (c *checker) warn(path, text string) {
	c.warnings = append(c.warnings, path+": "+text)
}

// has reports whether the container has a new or joined namespace of type t, not the runtime's.
func (c *checker) has(t specs.LinuxNamespaceType) bool {
	l := c.spec.Linux
	return l != nil && slices.ContainsFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
}

// needs reports a field that has no meaning without a namespace of type t, or would change the
// host's.
func (c *checker) needs(t specs.LinuxNamespaceType, path string) {
	if !c.has(t) {
		article := "a "
		if t == specs.IPCNamespace {
			article = "an "
		}
		c.fault(path, "needs "+article+string(t)+" namespace")
	}
}

// hasNUL reports whether s contains a NUL byte. The kernel ends strings there, and would not see
// what was checked.
func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

const nulProblem = "must not contain a NUL byte"

// text reports a NUL byte.
func (c *checker) text(path, s string) {
	if hasNUL(s) {
		c.fault(path, nulProblem)
	}
}

// texts reports NUL bytes in a list.
func (c *checker) texts(path string, list []string) {
	for i, s := range list {
		if hasNUL(s) {
			c.fault(jsonpath.Index(path, i), nulProblem)
		}
	}
}

// pathProblem returns what is wrong with a path that must be absolute, "" if it is valid.
func pathProblem(p string) string {
	switch {
	case p == "":
		return "is required"
	case p[0] != '/':
		return "must be absolute, not " + strconv.Quote(p)
	case hasNUL(p):
		return nulProblem
	}
	return ""
}

// dotdot reports whether a path has a component "..".
func dotdot(p string) bool {
	return slices.Contains(strings.Split(p, "/"), "..")
}

// oneOf returns the problem of a value that is not among the allowed ones, "" if it is. It is for a
// few values: longer vocabularies have a table.
func oneOf[T ~string](v T, allowed ...T) string {
	switch {
	case slices.Contains(allowed, v):
		return ""
	case v == "":
		return "is required: one of " + strings.Join(texts(allowed), ", ")
	}
	return "unknown value " + strconv.Quote(string(v)) + ", must be one of " + strings.Join(texts(allowed), ", ")
}

// eachRange calls do for each number or range in a list such as "0-3,7", the format of the kernel's
// cpulist_parse, and reports whether s is valid.
func eachRange(s string, do func(low, high uint64)) bool {
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		l, err := strconv.ParseUint(low, 10, 16)
		if err != nil {
			return false
		}
		h := l
		if isRange {
			if h, err = strconv.ParseUint(high, 10, 16); err != nil || h < l {
				return false
			}
		}
		do(l, h)
	}
	return true
}

func validRanges(s string) bool { return eachRange(s, func(uint64, uint64) {}) }

// RangeMask returns the bit mask of a list of processors or memory nodes, such as "0-3,7", in words
// of 64 bits as the kernel expects them. It is nil for an empty or malformed list.
func RangeMask(s string) []uint64 {
	var mask []uint64
	ok := eachRange(strings.TrimSuffix(s, "\n"), func(low, high uint64) {
		for n := low; n <= high; n++ {
			for uint64(len(mask)) <= n/64 {
				mask = append(mask, 0)
			}
			mask[n/64] |= 1 << (n % 64)
		}
	})
	if !ok {
		return nil
	}
	return mask
}

// ranges reports a malformed list of processors or memory nodes; an empty list counts as absent.
func (c *checker) ranges(path, s string) {
	if s != "" && !validRanges(strings.TrimSuffix(s, "\n")) {
		c.fault(path, "must be a list of numbers and ranges such as 0-3,7, not "+strconv.Quote(s))
	}
}
