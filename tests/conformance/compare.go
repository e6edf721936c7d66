package main

import (
	"fmt"
	"strings"
)

// compare writes reports side by side as Markdown: totals, a row for each program, and why the
// first runtime does not pass some of them.
func compare(reports []*report, list []exception) string {
	var b strings.Builder
	first := reports[0]
	fmt.Fprintf(&b, "Programs of %s %s, built with %s, run on %s, Linux %s, cgroup %s, on %s.\n\n", suiteModule, first.Suite, first.Host.Go,
		first.Host.System, first.Host.Kernel, first.Host.Cgroups, first.Host.Date.Format("2 January 2006"))
	row := func(name string, cell func(r *report) string) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range reports {
			fmt.Fprintf(&b, " %s |", cell(r))
		}
		b.WriteByte('\n')
	}
	count := func(name string, n func(t totals) int) {
		row(name, func(r *report) string { return fmt.Sprint(n(r.totals())) })
	}
	row("", title)
	fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(reports)))
	count("programs that pass", func(t totals) int { return t.passed })
	count("programs that assert nothing and report no error", func(t totals) int { return t.nothing })
	count("programs of these two kinds, without those that pass only by violating the specification", func(t totals) int { return t.rightly })
	count("programs that fail", func(t totals) int { return t.failed })
	count("programs with a random outcome", func(t totals) int { return t.chance })
	count("programs that cannot be run on this machine", func(t totals) int { return t.skipped })
	count("assertions that hold", func(t totals) int { return t.held })
	count("assertions that fail", func(t totals) int { return t.not })
	count("programs with the outcome that a runtime must have that follows the specification",
		func(t totals) int { return t.programs - t.skipped - t.unexpected })

	b.WriteString("\nEach program, and how many of its assertions hold. In brackets: how many fail. A star marks an outcome that a runtime must not" +
		" have that follows the specification. \"random\": the outcome varies, see below.\n\n")
	row("program", title)
	fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---|", len(reports)))
	for i := range first.Results {
		test := first.Results[i].Test
		row("`"+test+"`", func(r *report) string { return r.cell(test) })
	}

	b.WriteString("\nWhy some programs cannot pass ([more](../tests/conformance/exceptions.md)):\n\n")
	for i := range first.Results {
		if why := reasons(first.Results[i].Test, list); why != nil {
			fmt.Fprintf(&b, "- `%s` %s\n", first.Results[i].Test, strings.Join(why, "; "))
		}
	}
	return b.String()
}

// title heads a runtime's column.
func title(r *report) string { return r.Runtime + " " + r.Version }

// cell is a result in the table of programs.
func (r *report) cell(test string) string {
	for i := range r.Results {
		result := &r.Results[i]
		if result.Test != test {
			continue
		}
		star := ""
		if len(result.Problems) > 0 {
			star = " *"
		}
		switch {
		case result.Chance:
			return "random"
		case result.Outcome == nothing:
			return "no error" + star
		case result.Outcome == skipped:
			return "-"
		case result.Failed > 0:
			return fmt.Sprintf("%s %d (%d)%s", result.Outcome, result.Passed, result.Failed, star)
		}
		return fmt.Sprintf("%s %d%s", result.Outcome, result.Passed, star)
	}
	return ""
}
