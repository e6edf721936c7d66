// Command table puts a table of what the runner found into a page of the documentation: a row for
// each test and each of its subtests, a column for each of the runner's files of results and each
// machine.
//
// Usage: table [-without TEST,...] PAGE.md NAME=RESULTS.json...
//
// The table stands between the lines "<!-- table -->" and "<!-- end of table -->" of the page.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// record is the runner's, of one test that has no subtests.
type record struct {
	Package, Test, Outcome, Reason string
}

const begin, end = "<!-- table -->\n", "<!-- end of table -->\n"

func main() {
	without := flag.String("without", "", "`tests` that are left out, with commas between them")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: table [-without TEST,...] PAGE.md NAME=RESULTS.json...")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Args()[1:], strings.Split(*without, ",")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(page string, sources, without []string) error {
	var columns []column
	for _, source := range sources {
		name, file, _ := strings.Cut(source, "=")
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var records []record
		if err := json.Unmarshal(data, &records); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		here, guest := column{name: name + ", here"}, column{name: name + ", guest"}
		for _, r := range records {
			top, _, _ := strings.Cut(r.Test, "/")
			switch {
			case slices.Contains(without, top):
			case strings.HasPrefix(r.Package, "guest "):
				guest.records = append(guest.records, r)
			default:
				here.records = append(here.records, r)
			}
		}
		columns = append(columns, here, guest)
	}
	slices.SortStableFunc(columns, func(a, b column) int { return a.inGuest() - b.inGuest() })
	columns = slices.DeleteFunc(columns, func(c column) bool { return len(c.records) == 0 })

	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no lines %q and %q", page, begin, end)
	}
	return os.WriteFile(page, []byte(before+begin+table(columns)+end+after), 0o644)
}

// column is what one runtime came to on one machine.
type column struct {
	name    string
	records []record
}

// inGuest is 1 for the guest, which comes after the machine on which the runner ran.
func (c column) inGuest() int {
	if strings.HasSuffix(c.name, ", guest") {
		return 1
	}
	return 0
}

// cell counts a column's tests at or below a name ("": all).
func (c column) cell(name string) string {
	count := map[string]int{}
	for _, r := range c.records {
		if name == "" || r.Test == name || strings.HasPrefix(r.Test, name+"/") {
			count[r.Outcome]++
		}
	}
	var parts []string
	if n := count["pass"]; n > 0 {
		parts = append(parts, fmt.Sprint(n))
	}
	if n := count["fail"]; n > 0 {
		parts = append(parts, fmt.Sprintf("**%d failed**", n))
	}
	if n := count["skip"]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", n))
	}
	return strings.Join(parts, ", ")
}

// table writes the rows in the order in which the tests ran first.
func table(columns []column) string {
	var out strings.Builder
	row := func(name string, cell func(column) string) {
		fmt.Fprintf(&out, "| %s |", name)
		for _, c := range columns {
			fmt.Fprintf(&out, " %s |", cell(c))
		}
		out.WriteString("\n")
	}
	row("passed", func(c column) string { return c.name })
	out.WriteString("|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	tops, groups := names(columns)
	for _, top := range tops {
		row("**"+strings.TrimPrefix(top, "Test")+"**", func(c column) string { return c.cell(top) })
		for _, group := range groups[top] {
			row("&nbsp; "+strings.ReplaceAll(group, "_", " "), func(c column) string { return c.cell(top + "/" + group) })
		}
	}
	row("**all**", func(c column) string { return c.cell("") })
	out.WriteString(skips(columns))
	return out.String()
}

// names lists the tests, and the subtests of each.
func names(columns []column) (tops []string, groups map[string][]string) {
	groups = map[string][]string{}
	for _, c := range columns {
		for _, r := range c.records {
			parts := strings.SplitN(r.Test, "/", 3)
			if !slices.Contains(tops, parts[0]) {
				tops = append(tops, parts[0])
			}
			if len(parts) > 1 && !slices.Contains(groups[parts[0]], parts[1]) {
				groups[parts[0]] = append(groups[parts[0]], parts[1])
			}
		}
	}
	return tops, groups
}

// skips lists why tests were skipped.
func skips(columns []column) string {
	var lines []string
	for _, c := range columns {
		for _, r := range c.records {
			_, machine, _ := strings.Cut(c.name, ", ")
			if line := fmt.Sprintf("- %s, %s: %s\n", strings.ReplaceAll(strings.TrimPrefix(r.Test, "Test"), "_", " "), machine, r.Reason); r.Outcome == "skip" && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "\nSkipped:\n\n" + strings.Join(lines, "")
}
