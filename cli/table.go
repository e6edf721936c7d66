package cli

import (
	"strings"
	"unicode/utf8"
)

// columns lays out rows of equally many cells. A column is as wide as its widest cell and a gap, and not less than least; the last one
// is not filled up.
func columns(rows [][]string, least, gap int) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, least)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell)+gap)
		}
	}
	var b strings.Builder
	for _, row := range rows {
		last := len(row) - 1
		for i, cell := range row[:last] {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteString(row[last])
		b.WriteByte('\n')
	}
	return b.String()
}
