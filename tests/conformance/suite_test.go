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

// orlop returns the path of the runtime: $ORLOP, or else built from the tree as the Makefile does.
func orlop(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("ORLOP"); path != "" {
		return path
	}
	path, err := filepath.Abs(filepath.Join(outFolder, "orlop"))
	if err != nil {
		t.Fatal(err)
	}
	tags := "urfave_cli_no_docs"
	if _, err := os.Stat("../../libcontainer/seccomp/compiler.elf"); err == nil { // which make builds
		tags += ",seccomp"
	}
	if _, err := goOutput("../..", "build", "-trimpath", "-buildvcs=false", "-buildmode=exe", "-tags", tags, "-ldflags", "-s -w -buildid=", "-o", path, "."); err != nil {
		t.Fatal(err)
	}
	return path
}

// built returns the suite.
func built(t *testing.T) suite {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	bin, err := filepath.Abs(filepath.Join(outFolder, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := buildSuite(".", bin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.rootfs); err != nil {
		t.Skipf("the suite has no root file system for this architecture: %v", err)
	}
	return s
}

// TestSuite runs the suite's programs against orlop: each assertion is a test, and passes if it ends as expected.
func TestSuite(t *testing.T) {
	r := &report{Runtime: "orlop"}
	s, path := built(t), orlop(t)
	var err error
	if r.Host, err = hostFacts(); err != nil {
		t.Fatal(err)
	}
	if r.Version, err = versionOf(path); err != nil {
		t.Fatal(err)
	}
	r.Suite = s.version
	runner, remove, err := newRunner(s, path, 3*time.Minute, 4, exceptions(r.Host))
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if r.Results, err = runner.all(t.Context(), s.tests); err != nil {
		t.Fatal(err)
	}
	if err := r.write(outFolder); err != nil {
		t.Error(err)
	}
	for i := range r.Results {
		t.Run(r.Results[i].Test, func(t *testing.T) { reportResult(t, &r.Results[i]) })
	}
}

func reportResult(t *testing.T, r *result) {
	if r.Outcome == skipped {
		t.Skip(r.Reason)
	}
	for i, a := range r.Assertions {
		if a.Directive != "" {
			continue // runtimetest's word for what a configuration does not have
		}
		t.Run(fmt.Sprintf("%d %s", i+1, a.Name), func(t *testing.T) {
			if a.failed() && !a.Excepted {
				t.Error(a.Detail)
			}
		})
	}
	for _, p := range r.Problems {
		t.Log(p)
	}
	if len(r.Problems) > 0 {
		t.Errorf("ended otherwise than expected, twice; said:\n%s", r.Stderr)
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
	s := stage{Program: program, Dir: dir, Runtime: "/bin/false", Tmp: dir, Limit: time.Minute, Cgroup: fmt.Sprintf("orlop-conformance-%d-stage", os.Getpid())}
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
