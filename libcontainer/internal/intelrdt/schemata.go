package intelrdt

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A schema is one line of a schemata file: what a group may use of a resource in each of its
// domains (a cache, by its number).
type schema struct {
	resource string            // "L3", "L2", "L3CODE", "MB"
	domains  map[string]uint64 // by number; a bit mask or an amount
}

// parseSchema parses "L3:0=ff;1=f0" as the kernel does: masks are hexadecimal, amounts decimal.
func parseSchema(line string) (s schema, ok bool) {
	name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
	if !ok {
		return s, false
	}
	s = schema{strings.TrimSpace(name), map[string]uint64{}}
	base := 10
	if strings.HasPrefix(s.resource, "L") {
		base = 16
	}
	for part := range strings.SplitSeq(rest, ";") {
		domain, value, _ := strings.Cut(part, "=")
		value = strings.TrimSpace(value)
		if base == 16 {
			value = strings.TrimPrefix(strings.ToLower(value), "0x")
		}
		n, err := strconv.ParseUint(value, base, 64)
		if err != nil {
			return s, false
		}
		s.domains[strings.TrimSpace(domain)] = n
	}
	return s, true
}

// differs returns the line of a schemata file that contradicts wanted. It reports false if the file
// has everything in wanted. The kernel's lines may be formatted differently and have more domains.
func differs(wanted, file string) (line string, differs bool) {
	for want := range strings.Lines(wanted) {
		w, ok := parseSchema(want)
		if !ok {
			return "", true
		}
		found := false
		for have := range strings.Lines(file) {
			h, ok := parseSchema(have)
			if !ok || h.resource != w.resource {
				continue
			}
			found = true
			for domain, value := range w.domains {
				if got, ok := h.domains[domain]; !ok || got != value {
					return strings.TrimSpace(have), true
				}
			}
		}
		if !found {
			return "", true
		}
	}
	return "", false
}

// compare returns an error if an existing group differs from the container's configuration. field
// is the field's name.
func (g *Group) compare(field, wanted string) error {
	if wanted == "" {
		return nil
	}
	file, err := os.ReadFile(g.Dir + "/schemata")
	if err != nil {
		return fieldError("linux.intelRdt."+field, err)
	}
	if line, differs := differs(wanted, string(file)); differs {
		if line == "" {
			line = "nothing of this kind"
		}
		return fieldError("linux.intelRdt."+field, fmt.Errorf("is %s, but the existing group %s has %s", wanted, g.Dir, line))
	}
	return nil
}

// Update changes what a group may use. Empty values leave it as it is.
func Update(dir, l3CacheSchema, memBwSchema string) error {
	root, err := Find()
	if err != nil {
		return err
	}
	return writeSchemata(root, dir, l3CacheSchema, memBwSchema)
}

// writeSchemata writes the lines that are not empty.
func writeSchemata(root, dir string, lines ...string) error {
	var text strings.Builder
	for _, line := range lines {
		if line != "" {
			text.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return write(root, dir+"/schemata", text.String())
}
