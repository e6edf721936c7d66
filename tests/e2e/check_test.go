package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// report is the output of check.
type report struct {
	OK              bool
	Misses, Unknown []struct{ Path, Kind, Name, Lacks, Since string }
	Warnings        []string
}

// check runs check for the box's container. wrap is a command in front of the runtime's.
func check(t *testing.T, b *harness.Box, wrap ...string) (report, harness.Result) {
	t.Helper()
	c := b.Cmd("check", "--bundle", b.Bundle, "--format", "json", b.ID)
	c.Wrap = append(wrap, c.Wrap...)
	r := c.Run()
	var got report
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
		t.Fatalf("check: %v: %s%s", err, r.Stdout, r.Stderr)
	}
	if got.OK != (r.Status == 0) || got.OK != (len(got.Misses) == 0) || r.Status > 1 {
		t.Errorf("status %d with %s", r.Status, r.Stdout)
	}
	return got, r
}

// lacking is a command that runs another one without a capability.
func lacking(capability string) []string {
	return []string{"setpriv", "--bounding-set", "-" + capability}
}

// limited is a command that runs another one as root of a user namespace in which no more
// namespaces of a kind can be made.
func limited(kind string) []string {
	return []string{"unshare", "--user", "--map-root-user", "sh", "-c", "echo 0 > /proc/sys/user/max_" + kind + "_namespaces && exec \"$@\"", "sh"}
}

// TestCheckAgrees: check reports a problem exactly when run fails, and names the field.
func TestCheckAgrees(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	for i, a := range agreements() {
		if testing.Short() && i%5 != 0 {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			b := harness.New(t)
			// The user that runs it makes the state directory.
			must(t, os.Chmod(b.Dir, 0o777))
			a.change(b)
			b.Write()
			before := tree(t, b.Dir)
			got, r := check(t, b, a.wrap...)
			if after := tree(t, b.Dir); after != before {
				t.Errorf("check has made something: %s, before %s", after, before)
			}
			b.CheckClean()
			run := b.Cmd("run", "--bundle", b.Bundle, b.ID)
			run.Wrap = append(a.wrap, run.Wrap...)
			if ran := run.Run(); (ran.Status == 0) != got.OK {
				t.Errorf("check says %s%s, and run: status %d: %s", r.Stdout, r.Stderr, ran.Status, ran.Stderr)
			}
			var missing []string
			for _, m := range got.Misses {
				missing = append(missing, m.Path)
			}
			if !begin(missing, strings.Fields(a.paths)) {
				t.Errorf("missing: %q, want %q: %s", missing, a.paths, r.Stdout)
			}
		})
	}
}

// TestHints: run and check give the same hint for an error of the kernel.
func TestHints(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	for hint, change := range map[string]func(*specs.Spec){
		"(the filesystem does not accept this here)": harness.WithMount("/mnt", "tmpfs", "tmpfs", "size=many"),
		"(the kernel has no such parameter in the container's namespaces)": func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.nosuch": "1"}
		},
	} {
		b := harness.New(t, change)
		got, _ := check(t, b)
		if len(got.Misses) != 1 || !strings.HasSuffix(got.Misses[0].Lacks, hint) {
			t.Errorf("check: %+v, want %s", got.Misses, hint)
		}
		b.Fails(hint, "run", "--bundle", b.Bundle, b.ID)
	}
}

// begin reports whether each path begins with one of the wanted ones, and all of these are used.
func begin(paths, wanted []string) bool {
	seen := map[string]bool{}
	for _, p := range paths {
		i := slices.IndexFunc(wanted, func(w string) bool { return strings.HasPrefix(p, w) })
		if i < 0 {
			return false
		}
		seen[wanted[i]] = true
	}
	return len(seen) == len(wanted)
}

// tree lists the content of a directory, except for the files with the output of commands.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := filepath.Base(path); !strings.HasPrefix(name, "std") {
			names = append(names, path)
		}
		return nil
	}))
	return strings.Join(names, "\n")
}

// TestCheckOutput: problems of the configuration are reported together with those of the host, and
// the text agrees with JSON.
func TestCheckOutput(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	b := harness.New(t, harness.WithMount("/mnt", "bind", "/no/such/source", "bind"), harness.Args("nonesuch"))
	b.Spec.Process.Cwd = "relative"
	b.Write()
	got, _ := check(t, b)
	var paths []string
	for _, m := range got.Misses {
		paths = append(paths, m.Path)
	}
	for _, want := range []string{"process.cwd", "mounts[7].source", "process.args[0]"} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is not among %q", want, paths)
		}
	}
	r := b.Do("check", "--bundle", b.Bundle)
	for _, m := range got.Misses {
		if !strings.Contains(r.Stdout, "missing: "+m.Path+": "+m.Lacks) {
			t.Errorf("no line for %s: %s", m.Path, r.Stdout)
		}
	}
	if r.Status != 1 || !strings.Contains(r.Stdout, "cannot run it: 3 missing") {
		t.Errorf("status %d: %s", r.Status, r.Stdout)
	}
}
