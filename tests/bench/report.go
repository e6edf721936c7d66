package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report is everything that was measured, as it is written to results.json.
type report struct {
	Host       host             `json:"host"`
	Runtimes   []runtime        `json:"runtimes"` // the first one is what ratios are of
	Runs       int              `json:"runs"`
	Operations []measured       `json:"operations"`
	Limits     map[string]int64 `json:"smallestMemoryLimitBytes"`
}

// measured is one operation's figures, by runtime.
type measured struct {
	Name   string             `json:"name"`
	Time   map[string]summary `json:"timeMilliseconds"`
	Memory map[string]summary `json:"peakMemoryKiB"`
}

// summary is what is left of many figures.
type summary struct {
	Runs   int     `json:"runs"`
	Median float64 `json:"median"`
	Low    float64 `json:"p10"`
	High   float64 `json:"p90"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func summarize(figures []float64, scale float64) summary {
	sorted := slices.Clone(figures)
	slices.Sort(sorted)
	for i := range sorted {
		sorted[i] *= scale
	}
	return summary{Runs: len(sorted), Median: quantile(sorted, 0.5), Low: quantile(sorted, 0.1), High: quantile(sorted, 0.9),
		Min: quantile(sorted, 0), Max: quantile(sorted, 1)}
}

// quantile interpolates between the two nearest of the sorted figures.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (sorted[below+1]-sorted[below])*(at-float64(below))
}

// add takes an operation's times in seconds and peaks in KiB.
func (r *report) add(name string, times, memory map[string][]float64) {
	m := measured{Name: name, Time: map[string]summary{}, Memory: map[string]summary{}}
	for runtime, figures := range times {
		m.Time[runtime] = summarize(figures, 1000)
	}
	for runtime, figures := range memory {
		m.Memory[runtime] = summarize(figures, 1)
	}
	r.Operations = append(r.Operations, m)
}

// print writes the tables.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %s, %d cores (%s), cgroups %s, hyperfine %s\n", r.Host.System, r.Host.Kernel, r.Host.Cores, r.Host.CPU, r.Host.Cgroups, r.Host.Hyperfine)
	for _, runtime := range r.Runtimes {
		fmt.Fprintf(w, "%s %s (%s)\n", runtime.Name, runtime.Version, runtime.Path)
	}
	r.table(w, fmt.Sprintf("Wall time in ms, median of %d runs (10th to 90th percentile)", r.Runs), "%.2f (%.1f-%.1f)",
		func(m measured) map[string]summary { return m.Time }, 1)
	r.table(w, "Peak memory in MiB, median", "%.2f (%.1f-%.1f)",
		func(m measured) map[string]summary { return m.Memory }, 1024)

	if r.Limits == nil { // not asked for
		return
	}
	fmt.Fprintf(w, "\nSmallest memory limit under which /bin/true runs\n")
	for _, runtime := range r.Runtimes {
		text := "none of those tried"
		if limit := r.Limits[runtime.Name]; limit > 0 {
			text = fmt.Sprintf("%d KiB", limit/1024)
		}
		fmt.Fprintf(w, "%-8s %s\n", runtime.Name, text)
	}
	fmt.Fprintln(w)
}

// table prints one kind of figures: a row for each operation, a column for each runtime, and the
// ratios of the first runtime to each of the others.
func (r *report) table(w io.Writer, title, format string, figures func(measured) map[string]summary, unit float64) {
	fmt.Fprintf(w, "\n%s\n%-18s", title, "")
	first := r.Runtimes[0].Name
	for _, runtime := range r.Runtimes {
		fmt.Fprintf(w, "%20s", runtime.Name)
	}
	for _, runtime := range r.Runtimes[1:] {
		fmt.Fprintf(w, "%12s", first+"/"+runtime.Name)
	}
	fmt.Fprintln(w)
	for _, m := range r.Operations {
		fmt.Fprintf(w, "%-18s", m.Name)
		by := figures(m)
		for _, runtime := range r.Runtimes {
			s := by[runtime.Name]
			fmt.Fprintf(w, "%20s", fmt.Sprintf(format, s.Median/unit, s.Low/unit, s.High/unit))
		}
		for _, runtime := range r.Runtimes[1:] {
			fmt.Fprintf(w, "%12s", ratio(by[first].Median, by[runtime.Name].Median))
		}
		fmt.Fprintln(w)
	}
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// write writes results.json and the charts.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	where := fmt.Sprintf("%s, %s, %d cores, cgroups %s; %s", r.Host.System, r.Host.Kernel, r.Host.Cores, r.Host.Cgroups, r.versions())
	times := chart{title: "Wall time of a command, ms (median; less is better)", caption: where, format: "%.1f"}
	memory := chart{title: "Peak memory of a command, MiB (median; less is better)", caption: where, format: "%.1f"}
	for _, runtime := range r.Runtimes {
		times.series = append(times.series, runtime.Name)
		memory.series = append(memory.series, runtime.Name)
	}
	for _, m := range r.Operations {
		var t, k []float64
		for _, runtime := range r.Runtimes {
			t = append(t, m.Time[runtime.Name].Median)
			k = append(k, m.Memory[runtime.Name].Median/1024)
		}
		times.groups = append(times.groups, group{m.Name, t})
		memory.groups = append(memory.groups, group{m.Name, k})
	}
	for name, content := range map[string]string{"results.json": string(data) + "\n", "times.svg": times.svg(), "memory.svg": memory.svg()} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "written:", path)
	}
	return nil
}

func (r *report) versions() string {
	var words []string
	for _, runtime := range r.Runtimes {
		words = append(words, runtime.Name+" "+runtime.Version)
	}
	return strings.Join(words, ", ")
}
