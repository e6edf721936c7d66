package specconv

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// hookKinds is the table of the kinds of hooks, in the order in which they run.
var hookKinds = vocabulary[string, func(*specs.Hooks) []specs.Hook]{
	{"prestart", func(h *specs.Hooks) []specs.Hook { return h.Prestart }}, //nolint:staticcheck // deprecated, yet runtimes must run it
	{"createRuntime", func(h *specs.Hooks) []specs.Hook { return h.CreateRuntime }},
	{"createContainer", func(h *specs.Hooks) []specs.Hook { return h.CreateContainer }},
	{"startContainer", func(h *specs.Hooks) []specs.Hook { return h.StartContainer }},
	{"poststart", func(h *specs.Hooks) []specs.Hook { return h.Poststart }},
	{"poststop", func(h *specs.Hooks) []specs.Hook { return h.Poststop }},
}

// HookKinds returns the names of all kinds of hooks, in the order in which they run.
func HookKinds() []string { return hookKinds.names() }

// HooksOf returns the hooks of one kind. h may be nil.
func HooksOf(h *specs.Hooks, kind string) []specs.Hook {
	list, ok := hookKinds.value(kind)
	if h == nil || !ok {
		return nil
	}
	return list(h)
}

// hooks checks hooks.
func (c *checker) hooks() {
	for _, k := range hookKinds {
		if h := c.spec.Hooks; h != nil {
			c.hookList("hooks."+k.name, k.value(h))
		}
	}
}

func (c *checker) hookList(path string, list []specs.Hook) {
	for i := range list {
		h := &list[i]
		here := jsonpath.Index(path, i)
		c.problem(here+".path", pathProblem(h.Path))
		c.texts(here+".args", h.Args)
		c.environment(here+".env", h.Env)
		if h.Timeout != nil && *h.Timeout <= 0 {
			c.fault(here+".timeout", "must be greater than 0, not "+strconv.Itoa(*h.Timeout))
		}
	}
}
