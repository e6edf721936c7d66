package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// report is what is known of one runtime: the JSON file.
type report struct {
	Runtime string   `json:"runtime"` // "orlop"
	Version string   `json:"version"`
	Suite   string   `json:"suite"` // the module's version
	Host    host     `json:"host"`
	Results []result `json:"results"`
}

// totals are counts over all programs.
type totals struct {
	programs, passed, nothing, failed, skipped int // programs
	chance                                     int // programs that are none of these, but have a random outcome
	held, not, excepted                        int // assertions
	rightly                                    int // programs of the first two kinds in which nothing is as the specification forbids it
	unexpected                                 int // programs with another outcome than expected of a runtime that follows the specification
}

func (r *report) totals() (t totals) {
	t.programs = len(r.Results)
	for i := range r.Results {
		result := &r.Results[i]
		switch {
		case result.Chance:
			t.chance++
		case result.Outcome == passed:
			t.passed++
		case result.Outcome == nothing:
			t.nothing++
		case result.Outcome == skipped:
			t.skipped++
		default:
			t.failed++
		}
		t.held += result.Passed
		t.not += result.Failed
		for _, a := range result.Assertions {
			if a.Excepted {
				t.excepted++
			}
		}
		if len(result.Problems) > 0 {
			t.unexpected++
		} else if !result.Chance && (result.Outcome == passed || result.Outcome == nothing) {
			t.rightly++
		}
	}
	return t
}

func (t totals) String() string {
	return fmt.Sprintf("%d programs: %d pass, %d assert nothing and report no error, %d fail, %d have a random outcome, %d cannot be run here\n"+
		"%d assertions hold, %d fail, %d of them as exceptions.md says\n"+
		"%d programs have another outcome than expected of a runtime that follows the specification",
		t.programs, t.passed, t.nothing, t.failed, t.chance, t.skipped, t.held, t.not, t.excepted, t.unexpected)
}

// note is a remark on a result beside its counts.
func (r *result) note() string {
	switch {
	case r.Outcome == skipped:
		return r.Reason
	case len(r.Problems) > 0:
		return "UNEXPECTED"
	case r.Chance:
		return "random"
	case r.Failed > 0:
		return "as exceptions.md says"
	case r.Runs > 1:
		return "at the second attempt"
	}
	return ""
}

// table prints a line for each program, and what is unexpected below it.
func (r *report) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "PROGRAM\tOUTCOME\tOK\tNOT OK\tSECONDS\t\n")
	for i := range r.Results {
		result := &r.Results[i]
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.1f\t%s\n", result.Test, result.Outcome, result.Passed, result.Failed, result.Seconds, result.note())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range r.Results {
		for _, problem := range r.Results[i].Problems {
			fmt.Fprintf(out, "\n%s: %s\n", r.Results[i].Test, strings.ReplaceAll(problem, "\n", "\n\t"))
		}
	}
	_, err := fmt.Fprintf(out, "\n%s %s\n%s\n", r.Runtime, r.Version, r.totals())
	return err
}

// write writes the report as JSON and Markdown to files of this name in dir.
func (r *report) write(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var data strings.Builder
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	if err := encoder.Encode(r); err != nil {
		return err
	}
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name+".json", []byte(data.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(name+".md", []byte(compare([]*report{r}, exceptions(r.Host))), 0o644)
}

func readReport(path string) (*report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}
