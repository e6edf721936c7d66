package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	cases := []struct {
		sorted []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{3}, 0.5, 3},
		{[]float64{3}, 1, 3},
		{[]float64{1, 2}, 0.5, 1.5},
		{[]float64{1, 2, 9}, 0.5, 2},
		{[]float64{1, 2, 9}, 0, 1},
		{[]float64{1, 2, 9}, 1, 9},
		{[]float64{0, 10}, 0.1, 1},
	}
	for _, tc := range cases {
		if got := quantile(tc.sorted, tc.q); got != tc.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", tc.sorted, tc.q, got, tc.want)
		}
	}
}

func TestParseTimes(t *testing.T) {
	got, err := parseTimes([]byte(`{"results":[{"command":"true","mean":0.001,"times":[0.001,0.002]}]}`))
	if err != nil || len(got) != 2 || got[1] != 0.002 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"results":[{}]}`, `{"results":[{"times":[]}]}`} {
		if _, err := parseTimes([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestVersionWord(t *testing.T) {
	for text, want := range map[string]string{"runc version 1.1.5\ncommit: x\n": "1.1.5", "hyperfine 1.15.0\n": "1.15.0", "": ""} {
		if got := versionWord(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// sample is a report with names that need escaping in XML.
func sample() *report {
	r := &report{Runtimes: []runtime{{Name: "orlop"}, {Name: "<other> & co"}}, Limits: map[string]int64{"orlop": 262144}}
	r.add("run", map[string][]float64{"orlop": {0.004, 0.005, 0.006}, "<other> & co": {0.010}},
		map[string][]float64{"orlop": {2048}, "<other> & co": {4096}})
	return r
}

func TestTable(t *testing.T) {
	var b strings.Builder
	sample().print(&b)
	for _, want := range []string{"5.00 (4.2-5.8)", "10.00", "0.50", "2.00", "256 KiB", "none of those tried"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &b)
		}
	}
}

// TestWrite writes a report and reads the charts as XML.
func TestWrite(t *testing.T) {
	if err := sample().write(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	c := chart{title: "a < b & c", series: []string{"x", "y"}, format: "%.1f", groups: []group{{"run", []float64{1, 2}}, {"none", []float64{0, 0}}}}
	decoder := xml.NewDecoder(strings.NewReader(c.svg()))
	bars := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			bars++
		}
	}
	if want := 1 + 2 + 4; bars != want { // ground, legend, bars
		t.Errorf("%d rectangles, want %d", bars, want)
	}
}
