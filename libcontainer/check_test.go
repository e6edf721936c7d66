package libcontainer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/host"
	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// examined is an examination of the example, changed, on a host that answers as it is told.
func examined(t *testing.T, change func(*specs.Spec), answers map[string]error) *examination {
	t.Helper()
	dir := t.TempDir()
	s := specconv.Example()
	if change != nil {
		change(s)
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = errors.Join(os.Mkdir(filepath.Join(dir, "rootfs"), 0o755), os.WriteFile(filepath.Join(dir, specconv.ConfigName), text, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, faults, err := specconv.Examine(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := &examination{creation: creation{runtime: &Runtime{Root: dir, Rootless: RootlessNo}, id: "x", bundle: b}}
	e.answers = func(_ *specconv.Bundle, list []needs.Requirement) ([]error, error) {
		given := make([]error, len(list))
		for i, r := range list {
			given[i] = answers[string(r.Kind)+" "+r.Name]
		}
		return given, nil
	}
	e.faults(faults)
	if err := e.needs(); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnswers(t *testing.T) {
	hooks := func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/hook"}}}
		s.Process.Args = nil
	}
	e := examined(t, hooks, map[string]error{
		"file system mqueue":     &host.Lack{Text: "no mqueue", Since: "2.6.6"},
		"folder /":               errors.New("may not look"),
		"kernel feature openat2": &host.Lack{Text: "no openat2"},
		"kernel feature pidfd":   &host.Lack{Text: "no pidfd"},
		"capability CAP_SETGID":  &host.Lack{Text: "lacks it"},
		"program of the host /hook": &host.Lack{
			Text: "no hook",
		},
	})
	want := []Miss{
		{Path: "process.args", Kind: MissFault, Lacks: "needs at least one entry"},
		{Kind: "kernel feature", Name: "openat2", Lacks: "no openat2"},
		{Kind: "kernel feature", Name: "pidfd", Lacks: "no pidfd"},
		{Path: "mounts[4].type", Kind: "file system", Name: "mqueue", Lacks: "no mqueue", Since: "2.6.6"},
		{Path: "process.user.additionalGids", Kind: "capability", Name: "CAP_SETGID", Lacks: "lacks it"},
	}
	if !slices.Equal(e.report.Misses, want) {
		t.Errorf("misses %+v, want %+v", e.report.Misses, want)
	}
	if u := e.report.Unknown; len(u) != 1 || u[0].Path != "process.cwd" || u[0].Lacks != "may not look" {
		t.Errorf("unknown %+v", u)
	}
	if w := e.report.Warnings; !slices.Equal(w, []string{"hooks.poststop[0].path: no hook"}) {
		t.Errorf("warnings %q", w)
	}
	if !e.baseless {
		t.Error("a rehearsal would stand on what is missing")
	}
}

// TestConsequences: of one field, and of what it is a part of, one miss is told.
func TestConsequences(t *testing.T) {
	e := examined(t, nil, map[string]error{"file system mqueue": &host.Lack{Text: "no mqueue"}})
	if e.baseless {
		t.Error("a rehearsal can do without an mqueue")
	}
	step := func(field string) error {
		return &specconv.FieldError{Path: field, Err: &setup.StepError{Title: "mount it", Call: "fsopen", Errno: unix.ENODEV, Hint: "no such thing"}}
	}
	for _, err := range []error{step("mounts[4].type"), step("mounts[4]"), step("mounts[40]"), step("mounts[40].type"), step("mounts"), step(""),
		&specconv.FieldError{Path: "process.cwd", Err: errors.New("is odd")}, errors.New("what: is this"), specconv.Invalid("linux.x", "is wrong")} {
		e.error(MissStep, err)
	}
	var got []string
	for _, m := range e.report.Misses {
		got = append(got, m.Path+": "+m.Lacks)
	}
	why := "mount it: fsopen: no such device (no such thing)"
	want := []string{"mounts[4].type: no mqueue", "mounts[40]: " + why, ": " + why, "process.cwd: is odd", "linux.x: is wrong"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRehearse: each step that fails is told, and those after it are tried.
func TestRehearse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes namespaces")
	}
	e := examined(t, func(s *specs.Spec) {
		s.Mounts[1].Options = append(s.Mounts[1].Options, "nonesuch=1")
		s.Mounts[3].Options = append(s.Mounts[3].Options, "size=many")
		s.Linux.Sysctl = map[string]string{"net.none": "1", "net.ipv4.ip_forward": "1"}
	}, nil)
	if err := e.choosePlace(true); err != nil {
		t.Fatal(err)
	}
	e.planResources()
	e.plan()
	var got []string
	for _, m := range e.report.Misses {
		got = append(got, m.Path)
	}
	if want := []string{"mounts[1].options[4]", "mounts[3].options[5]", `linux.sysctl["net.none"]`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
