package cli

import (
	"strings"
	"testing"
	"text/tabwriter"
)

// TestColumns compares with text/tabwriter.
func TestColumns(t *testing.T) {
	for _, table := range []string{
		"a", "a\tb", "a\tb\nlonger\tc\n\td", "é \tx\t\n\t\t", "\t\xc3\xc3\tx\nabc\té\t", "1\t22\t333\n4444\t55555\t666666",
	} {
		var rows [][]string
		for line := range strings.SplitSeq(table, "\n") {
			rows = append(rows, strings.Split(line, "\t"))
		}
		for _, c := range []struct{ least, gap int }{{0, 2}, {1, 2}, {12, 3}, {5, 1}} {
			var want strings.Builder
			w := tabwriter.NewWriter(&want, c.least, 8, c.gap, ' ', 0)
			for _, row := range rows {
				w.Write([]byte(strings.Join(row, "\t") + "\n"))
			}
			w.Flush()
			if got := columns(rows, c.least, c.gap); got != want.String() {
				t.Errorf("%q, %+v:\n got %q\nwant %q", table, c, got, want.String())
			}
		}
	}
}
