package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestExpect(t *testing.T) {
	list := []exception{
		{Test: "t", Assertion: "a", Detail: "Reason", Times: 2, Why: "old"},
		{Test: "t", Assertion: "chance", Times: 1, Either: true},
		{Test: "other", Assertion: "b", Times: 1},
	}
	fails := func(name, detail string) assertion { return assertion{Name: name, Detail: detail} }
	holds := assertion{Name: "a", OK: true}
	for name, tc := range map[string]struct {
		assertions []assertion
		want       []string
	}{
		"as expected":           {[]assertion{holds, fails("a", "a reason"), fails("a", "REASON")}, nil},
		"by chance":             {[]assertion{fails("a", "reason"), fails("a", "reason"), fails("chance", "")}, nil},
		"not often enough":      {[]assertion{fails("a", "reason")}, []string{"a: did not fail as expected (1 times less): old"}},
		"too often":             {[]assertion{fails("a", "reason"), fails("a", "reason"), fails("a", "reason")}, []string{"a: reason"}},
		"in another way":        {[]assertion{fails("a", "reason"), fails("a", "else")}, []string{"a: else", "a: did not fail as expected (1 times less): old"}},
		"another's assertion":   {[]assertion{fails("a", "reason"), fails("a", "reason"), fails("b", "")}, []string{"b:"}},
		"skipped and not to do": {[]assertion{fails("a", "reason"), fails("a", "reason"), {Name: "c", Directive: todoDirective}}, nil},
	} {
		r := &result{Test: "t", Assertions: tc.assertions}
		expect(r, list)
		if !slices.Equal(r.Problems, tc.want) {
			t.Errorf("%s: got %q, want %q", name, r.Problems, tc.want)
		}
		if r.Chance != (tc.want == nil) {
			t.Errorf("%s: by chance: %t", name, r.Chance)
		}
	}
}

// readSections returns the sections of exceptions.md by title.
func readSections(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("exceptions.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for section := range strings.SplitSeq(string(text), "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		sections[title] = body
	}
	return sections
}

// TestExceptionsExplained holds exceptions.md to the table: a section for each, with all that
// belongs to it.
func TestExceptionsExplained(t *testing.T) {
	sections := readSections(t)
	used := make(map[string]bool)
	for _, e := range exceptions(host{Lacking: []string{"CAP_SYS_RESOURCE"}}) {
		name := e.Assertion
		if e.Kind == machine {
			name = "expected SET capability NAME set"
		}
		title := ""
		for candidate := range sections {
			tests, assertion, _ := strings.Cut(candidate, ": ")
			if assertion == name && slices.Contains(strings.Split(tests, ", "), e.Test) {
				title = candidate
			}
		}
		if title == "" {
			t.Errorf("exceptions.md has no section \"%s: %s\"", e.Test, name)
			continue
		}
		used[title] = true
		for _, part := range []string{"Why: " + string(e.Kind) + ".", "**The specification**", "**The test**", "**orlop**", "**runc**", "**crun**"} {
			if !strings.Contains(sections[title], part) {
				t.Errorf("exceptions.md, %s: lacks %q", title, part)
			}
		}
	}
	for title := range sections {
		if !used[title] && !strings.HasPrefix(title, "# ") {
			t.Errorf("exceptions.md, %s: no such exception", title)
		}
	}
}

// TestExceptionsQuoted: what exceptions.md has of the specification stands there, word for word but
// for its markup.
func TestExceptionsQuoted(t *testing.T) {
	dir, err := goOutput(".", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
	plain := func(text string) string {
		text = strings.NewReplacer("*", "", "`", "").Replace(link.ReplaceAllString(text, "$1"))
		return strings.Join(strings.Fields(text), " ")
	}
	var spec string
	for _, name := range []string{"config.md", "config-linux.md", "runtime.md"} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(dir), name))
		if err != nil {
			t.Fatal(err)
		}
		spec += plain(string(text)) + "\n"
	}
	quotations := 0
	for title, body := range readSections(t) {
		_, text, _ := strings.Cut(body, "**The specification**")
		text, _, _ = strings.Cut(text, "**The test**")
		for i, part := range strings.Split(text, `"`) {
			if i%2 == 0 {
				continue
			}
			quotations++
			if !strings.Contains(spec, plain(part)) {
				t.Errorf("%s: the specification does not say %q", title, part)
			}
		}
	}
	if quotations < len(exceptions(host{})) {
		t.Errorf("%d quotations", quotations)
	}
}

func TestLackingCapabilities(t *testing.T) {
	for set, want := range map[string][]string{
		"000001ffffffffff": nil,
		"000001fffeffffff": {"CAP_SYS_RESOURCE"},
		"000001fffefffffe": {"CAP_CHOWN", "CAP_SYS_RESOURCE"},
	} {
		if got, err := lackingCapabilities(set, "40"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", set, got, err, want)
		}
	}
	if got, err := lackingCapabilities("0000003fffffffff", "37"); err != nil || got != nil {
		t.Errorf("an old kernel: %q, %v", got, err)
	}
}
