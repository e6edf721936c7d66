package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// A trial is a row of the matrix on this host.
type trial struct {
	*resource
	h        hierarchy
	files    []shown
	one, two map[string]any // the JSON
	wrong    []string       // deviations
}

// runTrials tries rows of the matrix: as many together in one container as can be combined, and
// each by itself if that fails. find returns a row's hierarchy, or the reason why there is none;
// place sets a container's cgroup.
func runTrials(t *testing.T, list []resource, find func(*resource) (hierarchy, string), place func(*harness.Box)) {
	diskNumber, noDisk := "", ""
	if len(list) > 0 && list[0].disk {
		diskNumber, noDisk = disk(t)
	}
	var rounds [][]*trial
	for i := range list {
		r := &list[i]
		h, none := find(r)
		if r.disk && none == "" {
			none = noDisk
		}
		var x *trial
		if none == "" {
			x, none = newTrial(t, r, h, diskNumber)
		}
		switch {
		case none != "":
			t.Run(r.fields, func(t *testing.T) { t.Skip(none) })
		case x.files == nil && r.refused != "":
			t.Run(r.fields, x.isRefused)
		default:
			rounds = join(rounds, x)
		}
	}
	for i, round := range rounds {
		why := runRound(t, round, place)
		if why != "" && len(round) > 1 {
			t.Logf("round %d: %s: each by itself", i, why)
			for _, x := range round {
				x.wrong = nil
				if why := runRound(t, []*trial{x}, place); why != "" {
					x.wrong = append(x.wrong, why)
				}
			}
		} else if why != "" {
			round[0].wrong = append(round[0].wrong, why)
		}
		for _, x := range round {
			t.Run(x.fields, x.report)
		}
	}
}

// join adds a trial to the first round that it can be combined with.
func join(rounds [][]*trial, x *trial) [][]*trial {
	for i, others := range rounds {
		if x.goesWith(others) {
			rounds[i] = append(others, x)
			return rounds
		}
	}
	return append(rounds, []*trial{x})
}

// report reports the trial's result.
func (x *trial) report(t *testing.T) {
	for _, wrong := range x.wrong {
		t.Error(wrong)
	}
	if x.files == nil {
		t.Logf("no file of v%d to look at: %s", x.h.version, cmp.Or(x.none, x.warns))
	}
}

// newTrial checks whether the host has what the row needs, and returns what is missing.
func newTrial(t *testing.T, r *resource, h hierarchy, disk string) (_ *trial, none string) {
	t.Helper()
	if r.prepare != nil {
		if none := r.prepare(t, h); none != "" {
			return nil, none
		}
	}
	x := &trial{resource: r, h: h}
	major, minor, _ := strings.Cut(disk, ":")
	words := []string{"$DISK", disk, "$MAJOR", major, "$MINOR", minor}
	if r.controller == "rdma" {
		device := rdmaDevice()
		if device == "" {
			return nil, "no RDMA device here: nothing in /sys/class/infiniband"
		}
		words = append(words, "$RDMA", device)
	}
	fill := strings.NewReplacer(words...).Replace
	must(t, json.Unmarshal([]byte(fill(r.one)), &x.one))
	must(t, json.Unmarshal([]byte(fill(r.two)), &x.two))
	files := r.v1
	if h.version == 2 {
		files = r.v2
	}
	for _, f := range files {
		if none := h.lacks(t, r.controller, f.file); none != "" {
			return nil, none
		}
		x.files = append(x.files, shown{f.file, fill(f.one), fill(f.two)})
	}
	if files == nil && r.refused == "" && r.none == "" && r.warns == "" {
		return nil, "cgroup2's alone, and here " + r.controller + " is v1's"
	}
	return x, ""
}

// goesWith reports whether one container can have this one's limits together with those of others:
// their files and fields differ.
func (x *trial) goesWith(others []*trial) bool {
	for _, other := range others {
		if x.alone || other.alone || overlap(x.one, other.one) || overlap(x.two, other.two) {
			return false
		}
		for _, f := range x.files {
			for _, g := range other.files {
				if f.file == g.file {
					return false
				}
			}
		}
	}
	return true
}

// overlap reports whether two JSON objects have a value at the same path.
func overlap(a, b map[string]any) bool {
	for key, value := range a {
		other, ok := b[key]
		if !ok {
			continue
		}
		below, isObject := value.(map[string]any)
		if !isObject || overlap(below, other.(map[string]any)) {
			return true
		}
	}
	return false
}

// merge merges one JSON object into another.
func merge(to, from map[string]any) {
	for key, value := range from {
		if below, ok := value.(map[string]any); ok && to[key] != nil {
			merge(to[key].(map[string]any), below)
			continue
		}
		data, _ := json.Marshal(value) // a copy, because others are merged into it
		var copied any
		json.Unmarshal(data, &copied)
		to[key] = copied
	}
}

// runRound sets the resources of all to one by config.json, to two by update, and back by update's
// flags and a file. It returns why it could not finish.
func runRound(t *testing.T, round []*trial, place func(*harness.Box)) (why string) {
	t.Helper()
	one, two, file, flags := map[string]any{}, map[string]any{}, map[string]any{}, []string{}
	for _, x := range round {
		merge(one, x.one)
		merge(two, x.two)
		flags = append(flags, strings.Fields(x.flags)...)
		if x.flags == "" {
			merge(file, x.one)
		}
	}
	b := harness.New(t)
	place(b)
	// Limits that no kernel has are only noted.
	b.Global = append(b.Global, "--log-level", "info")
	// The next round is in the same test.
	defer b.Do("delete", "--force", b.ID)
	text := func(v any) string {
		data, err := json.Marshal(v)
		must(t, err)
		return string(data)
	}
	must(t, json.Unmarshal([]byte(text(one)), b.Spec.Linux.Resources))
	b.Write()
	check := func(result harness.Result, second bool) bool {
		did := strings.Join(result.Args[3+len(b.Global):], " ")
		if result.Status != 0 {
			why = fmt.Sprintf("%s: status %d: %s", did, result.Status, result.Stderr)
			return false
		}
		said := result.Stderr
		for _, x := range round {
			said = x.check(b, did, said, second)
		}
		if said != "" {
			why = fmt.Sprintf("%s: standard error: %s", did, said)
		}
		return said == ""
	}
	if !check(b.Do("create", "--bundle", b.Bundle, b.ID), false) {
		return why
	}
	update := b.Cmd("update", "--resources=-", b.ID) // as containerd calls it
	update.Stdin = strings.NewReader(text(two))
	if !check(update.Run(), true) {
		return why
	}
	path := filepath.Join(b.Dir, "resources.json")
	must(t, os.WriteFile(path, []byte(text(file)), 0o644))
	check(b.Do(append(append([]string{"update", "-r", path}, flags...), b.ID)...), false)
	return why
}

// check checks the kernel's files, and that the output contains the warning. It returns the rest of
// the output.
func (x *trial) check(b *harness.Box, did, said string, second bool) string {
	for _, f := range x.files {
		want := f.one
		if second {
			want = f.two
		}
		path := filepath.Join(x.h.directory(b), f.file)
		got, err := os.ReadFile(path)
		if err != nil || !hasLine(string(got), want) {
			x.wrong = append(x.wrong, fmt.Sprintf("%s: %s is\n%swant %q (%v)", did, path, got, want, err))
		}
	}
	if x.files != nil || x.warns == "" {
		return said
	}
	var rest strings.Builder
	found := false
	for line := range strings.Lines(said) {
		if strings.Contains(line, x.warns) {
			found = true
			continue
		}
		rest.WriteString(line)
	}
	if !found {
		x.wrong = append(x.wrong, fmt.Sprintf("%s: %q does not tell of %s", did, said, x.warns))
	}
	return rest.String()
}

// isRefused checks that both create and update refuse it.
func (x *trial) isRefused(t *testing.T) {
	b := harness.New(t)
	b.OK("create", "--bundle", b.Bundle, b.ID)
	update := b.Cmd("update", "-r", "-", b.ID)
	data, err := json.Marshal(x.one)
	must(t, err)
	update.Stdin = strings.NewReader(string(data))
	update.Run().Fails(b, x.refused)
	b.OK("delete", "--force", b.ID)
	must(t, json.Unmarshal(data, b.Spec.Linux.Resources))
	b.Write()
	b.Fails(x.refused, "create", "--bundle", b.Bundle, b.ID)
	b.CheckClean()
}

// hasLine reports whether a control file has this line, ignoring blanks at its end.
func hasLine(text, want string) bool {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}

// rdmaDevice returns a device that rdma.max supports; "" if there is none.
func rdmaDevice() string {
	entries, err := os.ReadDir("/sys/class/infiniband")
	if err != nil || len(entries) == 0 {
		return ""
	}
	return entries[0].Name()
}
