package specconv

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hooks checks hooks.
func (c *checker) hooks() {
	h := c.spec.Hooks
	if h == nil {
		return
	}
	//nolint:staticcheck // prestart is deprecated, yet runtimes must run it
	c.hookList("hooks.prestart", h.Prestart)
	c.hookList("hooks.createRuntime", h.CreateRuntime)
	c.hookList("hooks.createContainer", h.CreateContainer)
	c.hookList("hooks.startContainer", h.StartContainer)
	c.hookList("hooks.poststart", h.Poststart)
	c.hookList("hooks.poststop", h.Poststop)
}

func (c *checker) hookList(path string, list []specs.Hook) {
	for i := range list {
		h := &list[i]
		here := at(path, i)
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
