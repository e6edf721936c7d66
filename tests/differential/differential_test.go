package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/peers"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		childMain()
		return
	}
	if err := becomePlain(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestSample runs a fixed sample of cases; `make differential` runs others.
func TestSample(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	p, err := peers.Find("../..")
	if none := (peers.UnavailableError{}); errors.As(err, &none) {
		t.Skip("no runtimes to compare with: ", none)
	}
	if err != nil {
		t.Fatal(err)
	}
	orlop := os.Getenv("ORLOP")
	if orlop == "" {
		orlop = filepath.Join(t.TempDir(), "orlop")
		tags := "urfave_cli_no_docs"
		if _, err := os.Stat("../../libcontainer/seccomp/compiler.elf"); err == nil {
			tags += ",seccomp"
		}
		build := exec.Command("go", "build", "-buildmode=exe", "-tags", tags, "-o", orlop, "../..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build orlop: %v\n%s", err, out)
		}
	}
	tester, err := newTester(orlop, p)
	if err != nil {
		t.Skip("cannot make images: ", err)
	}
	defer tester.close()
	count := uint64(200)
	if testing.Short() {
		count = 50
	}
	var out strings.Builder
	s := tester.sweep(1, 0, count, runtime.NumCPU(), &out)
	t.Log(s)
	if s.differ > 0 || s.faults > 0 {
		t.Error(out.String())
	}
}

// TestPlain: nothing that the caller of the tests ignores, and none of its limits, reaches a case.
func TestPlain(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for path, want := range map[string]string{
		"/proc/self/status": `(?m)^SigIgn:\s0{16}$`, "/proc/self/limits": `(?m)^Max core file size\s+0\s`, "/proc/self/oom_score_adj": `^0$`,
	} {
		if data, err := os.ReadFile(path); err != nil || !regexp.MustCompile(want).MatchString(strings.TrimSpace(string(data))) {
			t.Errorf("%s is not as %s: %v\n%s", path, want, err, data)
		}
	}
}

// TestPlaces holds the list of what may differ to the page that tells users of it.
func TestPlaces(t *testing.T) {
	page, err := os.ReadFile("../../docs/from-runc.md")
	if err != nil {
		t.Skip("the documentation is not here: ", err)
	}
	for _, r := range rules() {
		if !strings.Contains(string(page), "\n"+r.place) {
			t.Errorf("docs/from-runc.md has no row %q", r.place)
		}
	}
}

// TestCases: what is generated is the same when written and read again, and makes a bundle.
func TestCases(t *testing.T) {
	for i := range uint64(2000) {
		c := generate(3, i)
		again, err := parseCase(c.String())
		if err != nil || !slices.Equal(c, again) {
			t.Errorf("%v is read as %v, %v", c, again, err)
		}
		if _, err := makeBundle(c, t.TempDir(), "id", "/cgroup"); err != nil {
			t.Error(err)
		}
	}
}

// TestShrink: what has no part in a difference is dropped, features and parts of them.
func TestShrink(t *testing.T) {
	c, err := parseCase("env=A=1 mount=bind:dir:/data:bind,ro,nosuid user=1000:1001 mount=tmpfs:tmpfs:/tmp:ro")
	if err != nil {
		t.Fatal(err)
	}
	got := shrink(c, func(c Case) bool {
		return strings.Contains(c.String(), "nosuid") && strings.Contains(c.String(), "user=")
	})
	if want := "mount=bind:dir:/data:nosuid user=1000:1001"; got.String() != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCompare shows that the comparison can fail, and what it leaves out.
func TestCompare(t *testing.T) {
	facts := func(list ...fact) *observation { return &observation{Facts: list} }
	status := func(call int, key, value string) fact { return fact{call, key + ": status", value} }
	tests := map[string]struct {
		orlop, runc *observation
		keys        []string
	}{
		"equal":         {facts(status(1, "1 run", "0")), facts(status(1, "1 run", "0")), nil},
		"a fact":        {facts(status(1, "1 run", "0"), fact{1, "env", "a"}), facts(status(1, "1 run", "0"), fact{1, "env", "b"}), []string{"env"}},
		"more":          {facts(status(1, "1 run", "0"), fact{1, "env", "a"}), facts(status(1, "1 run", "0")), []string{"env"}},
		"a consequence": {facts(status(1, "1 run", "0"), fact{2, "later", "a"}), facts(status(1, "1 run", "1"), fact{2, "later", "b"}), []string{"1 run: status"}},
		"what is left":  {facts(status(1, "1 run", "1"), fact{0, "left process", "x"}), facts(status(1, "1 run", "1")), []string{"left process"}},
	}
	for name, tc := range tests {
		var keys []string
		for _, d := range compare(tc.orlop, tc.runc) {
			keys = append(keys, d.Key)
		}
		if !slices.Equal(keys, tc.keys) {
			t.Errorf("%s: got %q, want %q", name, keys, tc.keys)
		}
	}
}
