package specconv

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// intelRdt checks linux.intelRdt. closID becomes a folder's name.
func (c *checker) intelRdt(r *specs.LinuxIntelRdt) {
	if r == nil {
		return
	}
	const path = "linux.intelRdt"
	if id := r.ClosID; id == "." || id == ".." || id != "/" && strings.ContainsAny(id, "/\n\x00") {
		c.fault(path+".closID", strconv.Quote(id)+" is not a folder's name")
	}
	if strings.Contains(r.L3CacheSchema, "\n") {
		c.fault(path+".l3CacheSchema", "must not contain newlines")
	}
	if s := r.MemBwSchema; s != "" && (!strings.HasPrefix(s, "MB:") || strings.Contains(s, "\n")) {
		c.fault(path+".memBwSchema", "must start with MB: and not contain newlines")
	}
	for i, s := range r.Schemata {
		if strings.Contains(s, "\n") {
			c.fault(at(path+".schemata", i), "must not contain newlines")
		}
	}
}
