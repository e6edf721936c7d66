package main

import (
	"fmt"
	"html"
	"strings"
)

// chart is a bar chart: groups of horizontal bars, one bar of each series in each group.
type chart struct {
	title, caption string
	format         string // of a bar's figure
	series         []string
	groups         []group
}

type group struct {
	name    string
	figures []float64 // one for each series
}

// colour of the i-th series, told apart also by those who see no red or green, and on dark ground.
func colour(i int) string {
	colours := [...]string{"#0072b2", "#e69f00", "#999999", "#cc79a7", "#009e73"}
	return colours[i%len(colours)]
}

// svg draws the chart.
func (c chart) svg() string {
	const (
		width, left, right = 760, 130, 70
		bar, gap, top      = 16, 14, 70
	)
	height := top + len(c.groups)*(len(c.series)*bar+gap) + 30
	largest := 0.0
	for _, g := range c.groups {
		for _, f := range g.figures {
			largest = max(largest, f)
		}
	}
	scale := 0.0
	if largest > 0 {
		scale = float64(width-left-right) / largest
	}

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	text := func(x, y int, attributes, s string) {
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#222222"%s>%s</text>`+"\n", x, y, attributes, html.EscapeString(s))
	}
	text(left, 24, ` font-size="15" font-weight="bold"`, c.title)
	x := left
	for i, name := range c.series {
		fmt.Fprintf(&b, `<rect x="%d" y="38" width="12" height="12" fill="%s"/>`+"\n", x, colour(i))
		text(x+17, 48, "", name)
		x += 30 + 8*len(name)
	}
	y := top
	for _, g := range c.groups {
		text(left-8, y+len(c.series)*bar/2+4, ` text-anchor="end"`, g.name)
		for i, f := range g.figures {
			length := f * scale
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, y, length, bar-2, colour(i))
			text(left+int(length)+5, y+bar-5, ` font-size="11"`, fmt.Sprintf(c.format, f))
			y += bar
		}
		y += gap
	}
	text(left, height-12, ` font-size="10"`, c.caption)
	b.WriteString("</svg>\n")
	return b.String()
}
