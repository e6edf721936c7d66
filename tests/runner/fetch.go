package main

import (
	"os/exec"
	"strings"
)

// fetched omits modules, apart from the product's own, whose dependencies are neither cached nor
// available, and counts each as skipped. It omits a module for no other fault: the go command
// reports those.
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

// unreachable fetches a module's dependencies. It returns why they are not available, "" if they
// are.
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
