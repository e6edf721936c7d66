package e2e

import (
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// TestBindOptions: a bind mount with an option that nobody knows is refused, as the option may have been meant to keep the container
// from something. Options that ask for nothing are accepted.
func TestBindOptions(t *testing.T) {
	for _, c := range []struct{ option, problem string }{
		{"readonly", `mounts[7].options[1]: unknown option "readonly" of a bind mount: use ro`},
		{"nosiud", `unknown option "nosiud" of a bind mount: did you mean nosuid?`},
		{"sise=1k", `unknown option "sise=1k" of a bind mount`},
		{"nofail", ""},
		{"x-systemd.automount", ""},
		{"rsync", ""},
	} {
		t.Run(c.option, func(t *testing.T) {
			b := harness.New(t, harness.Args("true"))
			harness.WithMount("/mnt", "bind", hostDir(t, b, "volume"), "bind", c.option)(b.Spec)
			if c.problem == "" {
				b.Run().OK(b)
				return
			}
			b.Run().Fails(b, c.problem)
		})
	}
}
