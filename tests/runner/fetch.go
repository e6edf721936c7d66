package main

import (
	"os/exec"
	"strings"
)

// fetched leaves out those modules beside the product's own whose dependencies are neither here nor to be had, and counts each as
// skipped. Nothing but its dependencies can be wrong with one that is left out: the go command shall tell of all else.
func fetched(c *counter, modules []module) (here []module) {
	for _, m := range modules {
		if m.dir != "." {
			if reason := unreachable(m.dir); reason != "" {
				c.skip(m.dir, "its dependencies cannot be fetched: "+reason)
				continue
			}
		}
		here = append(here, m)
	}
	return here
}

// unreachable fetches a module's dependencies, and tells why they cannot be had, if so.
func unreachable(dir string) string {
	cmd := exec.Command("go", "mod", "download")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err == nil || said == "" || strings.Contains(said, "SECURITY ERROR") || strings.Contains(said, "parsing go.mod") {
		return ""
	}
	first, _, _ := strings.Cut(said, "\n")
	return first
}
