package specconv

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// hookKinds is the table of the kinds of hooks, in the order in which they run.
var hookKinds = [...]struct {
	name string
	list func(*specs.Hooks) []specs.Hook
}{
	{"prestart", func(h *specs.Hooks) []specs.Hook { return h.Prestart }}, //nolint:staticcheck // deprecated, yet runtimes must run it
	{"createRuntime", func(h *specs.Hooks) []specs.Hook { return h.CreateRuntime }},
	{"createContainer", func(h *specs.Hooks) []specs.Hook { return h.CreateContainer }},
	{"startContainer", func(h *specs.Hooks) []specs.Hook { return h.StartContainer }},
	{"poststart", func(h *specs.Hooks) []specs.Hook { return h.Poststart }},
	{"poststop", func(h *specs.Hooks) []specs.Hook { return h.Poststop }},
}

// HookKinds returns the names of all kinds of hooks, in the order in which they run.
func HookKinds() []string {
	names := make([]string, len(hookKinds))
	for i, k := range hookKinds {
		names[i] = k.name
	}
	return names
}

// HooksOf returns the hooks of one kind. h may be nil.
func HooksOf(h *specs.Hooks, kind string) []specs.Hook {
	if h == nil {
		return nil
	}
	for _, k := range hookKinds {
		if k.name == kind {
			return k.list(h)
		}
	}
	return nil
}

// hooks checks hooks.
func (c *checker) hooks() {
	h := c.spec.Hooks
	if h == nil {
		return
	}
	for _, k := range hookKinds {
		c.hookList("hooks."+k.name, k.list(h))
	}
}

func (c *checker) hookList(path string, list []specs.Hook) {
	for i := range list {
		h := &list[i]
		here := jsonpath.Index(path, i)
		if problem := pathProblem(h.Path); problem != "" {
			c.fault(here+".path", problem)
		}
		c.texts(here+".args", h.Args)
		c.environment(here+".env", h.Env)
		if h.Timeout != nil && *h.Timeout <= 0 {
			c.fault(here+".timeout", "must be greater than 0, not "+strconv.Itoa(*h.Timeout))
		}
	}
}
