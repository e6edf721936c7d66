package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	perform() // the tests' binary starts itself for each program of the suite
	os.Exit(m.Run())
}

const outFolder = "../../build/conformance"

// built is what the tests with orlop share.
type built struct {
	suite suite
	orlop string // path
}

// TestOrlop builds the suite and orlop, and tests one with the other.
func TestOrlop(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	out, err := filepath.Abs(outFolder)
	if err != nil {
		t.Fatal(err)
	}
	b := built{orlop: os.Getenv("ORLOP")}
	if b.suite, err = buildSuite(".", filepath.Join(out, "bin")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.suite.rootfs); err != nil {
		t.Skipf("the suite has no root file system for this architecture: %v", err)
	}
	if b.orlop == "" {
		b.orlop = filepath.Join(out, "orlop")
		buildOrlop(t, b.orlop)
	}
	t.Run("suite", b.testSuite)
	t.Run("validate", b.testValidate)
	t.Run("generate", b.testGenerate)
	t.Run("schemas", b.testSchemas)
}

// buildOrlop builds as the Makefile does.
func buildOrlop(t *testing.T, path string) {
	t.Helper()
	tags := "urfave_cli_no_docs"
	if _, err := os.Stat("../../libcontainer/seccomp/compiler.elf"); err == nil { // which make builds
		tags += ",seccomp"
	}
	if _, err := goOutput("../..", "build", "-trimpath", "-buildvcs=false", "-buildmode=exe", "-tags", tags, "-ldflags", "-s -w -buildid=", "-o", path, "."); err != nil {
		t.Fatal(err)
	}
}

// testSuite runs the suite's programs: each is a test, and passes if all of its assertions end as
// expected.
func (b *built) testSuite(t *testing.T) {
	r, err := b.suite.run(t.Context(), b.orlop, 10*time.Minute, 4, b.suite.tests)
	if err != nil {
		t.Fatal(err)
	}
	r.Runtime = "orlop" // whatever its file is called
	if err := r.write(outFolder, r.Runtime); err != nil {
		t.Error(err)
	}
	for i := range r.Results {
		t.Run(r.Results[i].Test, func(t *testing.T) { reportResult(t, &r.Results[i]) })
	}
	t.Log(r.totals())
}

func reportResult(t *testing.T, r *result) {
	switch {
	case r.Outcome == skipped:
		t.Skip(r.Reason)
	case len(r.Problems) > 0:
		t.Errorf("ended otherwise than expected, twice:\n%s\nIt said:\n%s", strings.Join(r.Problems, "\n"), r.Stderr)
	}
}

// TestStage: what a program's environment has, and that nothing is left of it.
func TestStage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	script := `#!/bin/sh
echo $$
stat -f -c %T /dev /run
cat /proc/self/cgroup
mkdir -p /sys/fs/cgroup/pids/left 2>/dev/null
sleep 1000 &
exit 3
`
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := stage{Program: program, Dir: dir, Runtime: "/bin/false", Tmp: dir, Limit: 10 * time.Minute, Cgroup: fmt.Sprintf("orlop-conformance-%d-stage", os.Getpid())}
	stdout, stderr, status, err := s.run(t.Context())
	if err != nil || status != 3 {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if pid, err := strconv.Atoi(lines[0]); err != nil || pid > 100 { // process 1 and its threads come before
		t.Errorf("the program's number is %s", lines[0])
	}
	if len(lines) < 3 || lines[1] != "tmpfs" || lines[2] != "tmpfs" {
		t.Errorf("/dev and /run: %q", lines)
	}
	for _, line := range lines {
		if strings.Contains(line, s.Cgroup) {
			t.Errorf("the cgroup is not the root of its namespace: %s", line)
		}
	}
	left, err := filepath.Glob("/sys/fs/cgroup/*/" + s.Cgroup)
	if err != nil || left != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if out, err := exec.Command("sh", "-c", "grep -l "+s.Cgroup+" /proc/[0-9]*/cgroup").Output(); err == nil {
		t.Errorf("left behind: %s", out)
	}
	s.Limit = 100 * time.Millisecond
	if err := os.WriteFile(program, []byte("#!/bin/sh\nsleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status, err := s.run(t.Context()); err != nil || status != statusTimeLimit {
		t.Errorf("status %d, %v: %s; want that of the time limit", status, err, stderr)
	}
}
