package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// TestSpec: the example that spec writes runs unchanged, except for its terminal.
func TestSpec(t *testing.T) {
	b := harness.New(t)
	must(t, os.Remove(filepath.Join(b.Bundle, "config.json")))
	c := b.Cmd("spec")
	c.Dir = b.Bundle
	c.Run().OK(b)
	b.Spec = &specs.Spec{}
	must(t, json.Unmarshal([]byte(read(t, filepath.Join(b.Bundle, "config.json"))), b.Spec))
	if len(b.Spec.Process.Capabilities.Inheritable) > 0 && harness.Name() == "orlop" {
		t.Errorf("inheritable capabilities: %q", b.Spec.Process.Capabilities.Inheritable)
	}
	b.Spec.Process.Terminal = false
	b.Spec.Linux.CgroupsPath = harness.CgroupParent() + "/" + b.ID
	if got := b.Sh("echo runs"); got != "runs\n" {
		t.Errorf("got %q", got)
	}
	t.Run("does not overwrite", func(t *testing.T) {
		c := b.Cmd("spec")
		c.Dir = b.Bundle
		c.Run().Fails(b, "")
	})
	t.Run("--bundle", func(t *testing.T) {
		b := harness.New(t)
		must(t, os.Remove(filepath.Join(b.Bundle, "config.json")))
		b.OK("spec", "--bundle", b.Bundle)
		if !json.Valid([]byte(read(t, filepath.Join(b.Bundle, "config.json")))) {
			t.Error("not JSON")
		}
	})
}

// TestFeatures: what engines query before they use it.
func TestFeatures(t *testing.T) {
	b := harness.New(t)
	var f struct {
		OCIVersionMin, OCIVersionMax string
		Hooks, MountOptions          []string
		Linux                        struct {
			Namespaces, Capabilities []string
		}
	}
	must(t, json.Unmarshal([]byte(b.OK("features")), &f))
	if f.OCIVersionMin == "" || f.OCIVersionMax == "" || len(f.Hooks) != 6 || len(f.MountOptions) == 0 || len(f.Linux.Namespaces) < 6 || len(f.Linux.Capabilities) < 40 {
		t.Errorf("got %+v", f)
	}
}

func TestVersion(t *testing.T) {
	b := harness.New(t)
	got := b.OK("--version")
	if first, _, _ := strings.Cut(got, "\n"); !strings.Contains(first, " version ") {
		t.Errorf("got %q", got)
	}
	for _, want := range []string{"spec:"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// TestPlan prints the plan without making anything, also without root.
func TestPlan(t *testing.T) {
	harness.OrlopOnly(t, "others have no plan")
	b := harness.New(t)
	text := b.OK("plan", "--bundle", b.Bundle)
	for _, want := range []string{"/proc", "/dev/shm", "/bin/true", "box"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the plan:\n%s", want, text)
		}
	}
	if out := b.OK("plan", "--bundle", b.Bundle, "--format", "json"); !json.Valid([]byte(out)) {
		t.Errorf("not JSON: %s", out)
	}
	b.CheckClean()
	t.Run("without root", func(t *testing.T) {
		b := harness.New(t)
		c := b.Cmd("plan", "--bundle", b.Bundle)
		c.Wrap = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
		if got := c.Run().OK(b); !strings.Contains(got, "/bin/true") {
			t.Errorf("got %s", got)
		}
		c = b.Cmd("plan", "--bundle", b.Bundle, "--format", "json")
		c.Wrap = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
		var plan struct {
			Steps []struct{ Verb, Field string }
		}
		if out := c.Run().OK(b); json.Unmarshal([]byte(out), &plan) != nil || len(plan.Steps) < 20 {
			t.Errorf("got %s", out)
		}
	})
}
