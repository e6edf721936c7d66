package specconv

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// intelRdt checks linux.intelRdt. closID names a directory.
func (c *checker) intelRdt(r *specs.LinuxIntelRdt) {
	if r == nil {
		return
	}
	const path = "linux.intelRdt"
	switch id := r.ClosID; {
	case id == "." || id == ".." || id != "/" && strings.ContainsAny(id, "/\n\x00"):
		c.fault(path+".closID", strconv.Quote(id)+" is not a valid directory name")
	case id == "info" || id == "mon_groups" || id == "mon_data":
		c.fault(path+".closID", strconv.Quote(id)+" is a directory that the resctrl filesystem reserves")
	}
	c.text(path+".l3CacheSchema", r.L3CacheSchema)
	if s := r.L3CacheSchema; s != "" && (!strings.HasPrefix(s, "L3:") || strings.Contains(s, "\n")) {
		c.warn(path+".l3CacheSchema", "should start with L3: and not contain newlines")
	}
	if s := r.MemBwSchema; s != "" && (!strings.HasPrefix(s, "MB:") || strings.Contains(s, "\n")) {
		c.fault(path+".memBwSchema", "must start with MB: and not contain newlines")
	}
	c.text(path+".memBwSchema", r.MemBwSchema)
	for i, s := range r.Schemata {
		if strings.Contains(s, "\n") {
			c.fault(jsonpath.Index(path+".schemata", i), "must not contain newlines")
		}
		c.text(jsonpath.Index(path+".schemata", i), s)
	}
}

// ValidateIntelRdt checks a linux.intelRdt like that of config.json. The error is Faults.
func ValidateIntelRdt(r *specs.LinuxIntelRdt) error { return validate(r, (*checker).intelRdt) }
