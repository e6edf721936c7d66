package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCounter runs go test on a small module and counts what it says.
func TestCounter(t *testing.T) {
	cases := []struct {
		name                    string
		source                  string
		passed, failed, skipped int
		want                    []string // in the report
	}{
		{"leaves only", `
func TestA(t *testing.T) {}
func TestB(t *testing.T) { t.Run("x", func(*testing.T) {}); t.Run("y", func(*testing.T) {}) }`,
			3, 0, 0, []string{"ok    m: 3 passed"}},
		{"skip with reason", `
func TestA(t *testing.T) { t.Skip("no such device") }
func TestB(t *testing.T) { t.Run("x", func(t *testing.T) { t.Skipf("needs %d cores", 99) }) }`,
			0, 0, 2, []string{"SKIP  m TestA: no such device", "SKIP  m TestB/x: needs 99 cores"}},
		{"failing subtest counts once", `
func TestA(t *testing.T) { t.Run("x", func(t *testing.T) { t.Error("broken thing") }); t.Run("y", func(*testing.T) {}) }`,
			1, 1, 0, []string{"FAIL  m TestA/x", "broken thing"}},
		{"failing parent of passing subtests", `
func TestA(t *testing.T) { t.Run("x", func(*testing.T) {}); t.Error("parent is broken") }`,
			1, 1, 0, []string{"FAIL  m TestA", "parent is broken"}},
		{"skip after a subtest", `
func TestA(t *testing.T) { t.Run("x", func(*testing.T) {}); t.Skip("the rest needs a moon") }`,
			1, 0, 1, []string{"SKIP  m TestA: the rest needs a moon"}},
		{"panic", `
func TestA(t *testing.T) {}
func TestB(t *testing.T) { panic("at the disco") }
func TestC(t *testing.T) {}`,
			1, 1, 0, []string{"FAIL  m TestB", "at the disco"}},
		{"exit in mid-air", `
func TestA(t *testing.T) {}
func TestB(t *testing.T) { println("before the end"); os.Exit(0) }`,
			1, 1, 0, []string{"FAIL  m TestB"}},
		{"time limit", `
func TestA(t *testing.T) { t.Run("x", func(t *testing.T) { select {} }) }`,
			0, 1, 0, []string{"FAIL  m TestA/x", "timed out"}},
		{"does not build", `
func TestA(t *testing.T) { undeclared() }`,
			0, 1, 0, []string{"FAIL  m", "undefined: undeclared"}},
		{"TestMain fails", `
func TestMain(m *testing.M) { println("no ground to stand on"); os.Exit(3) }`,
			0, 1, 0, []string{"FAIL  m", "no ground to stand on"}},
		{"no tests", ``, 0, 0, 0, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "go.mod", "module m\n\ngo 1.24\n")
			write(t, dir, "m_test.go", "package m\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n\nvar _ testing.TB\n"+tc.source+"\n")
			cmd := exec.Command("go", "test", "-json", "-vet=off", "-timeout", "2s", "./...")
			cmd.Dir = dir
			events, _ := cmd.Output()

			var report strings.Builder
			c := newCounter(&report)
			if err := feed(c, strings.NewReader(string(events))); err != nil {
				t.Fatal(err)
			}
			if c.passed != tc.passed || c.failed != tc.failed || c.skipped != tc.skipped {
				t.Errorf("got %d passed, %d failed, %d skipped; want %d, %d, %d",
					c.passed, c.failed, c.skipped, tc.passed, tc.failed, tc.skipped)
			}
			for _, want := range tc.want {
				if !strings.Contains(report.String(), want) {
					t.Errorf("report lacks %q", want)
				}
			}
			if t.Failed() {
				t.Logf("report:\n%s\nevents:\n%s", &report, events)
			}
		})
	}
}

// TestCutOff: go test itself is killed while a package's tests run.
func TestCutOff(t *testing.T) {
	var report strings.Builder
	c := newCounter(&report)
	events := `{"Action":"start","Package":"m"}
{"Action":"run","Package":"m","Test":"TestA"}
{"Action":"pass","Package":"m","Test":"TestA"}
{"Action":"run","Package":"m","Test":"TestB"}
not JSON at all
`
	if err := feed(c, strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	if c.passed != 1 || c.failed != 1 || !strings.Contains(report.String(), "not JSON at all") {
		t.Errorf("%d passed, %d failed:\n%s", c.passed, c.failed, &report)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}
