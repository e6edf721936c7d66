package specconv

import (
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// maxGroups is the kernel's NGROUPS_MAX.
const maxGroups = 65536

// process checks process; a container can be created, though not started, without one.
func (c *checker) process(p *specs.Process) {
	if p == nil {
		return
	}
	if len(p.Args) == 0 {
		c.fault("process.args", "needs at least one entry")
	}
	c.texts("process.args", p.Args)
	c.environment("process.env", p.Env)
	c.problem("process.cwd", pathProblem(p.Cwd))
	// "Runtimes MUST ignore consoleSize if terminal is false or unset."
	if s := p.ConsoleSize; s != nil && p.Terminal {
		c.consoleSize("process.consoleSize.height", s.Height)
		c.consoleSize("process.consoleSize.width", s.Width)
	}
	c.user(&p.User)
	_, notes := ParseCapabilities(p.Capabilities)
	c.notes = append(c.notes, notes...)
	c.rlimits(p.Rlimits)
	if n := p.OOMScoreAdj; n != nil && (*n < -1000 || *n > 1000) {
		c.fault("process.oomScoreAdj", "must be from -1000 to 1000, not "+strconv.Itoa(*n))
	}
	c.text("process.apparmorProfile", p.ApparmorProfile)
	c.text("process.selinuxLabel", p.SelinuxLabel)
	c.scheduler(p.Scheduler)
	c.ioPriority(p.IOPriority)
	c.affinity(p.ExecCPUAffinity)
}

// environment checks a list of variables. "The same semantics as IEEE Std 1003.1-2008's environ":
// entries are name=value.
func (c *checker) environment(path string, env []string) {
	for i, e := range env {
		switch name, _, ok := strings.Cut(e, "="); {
		case hasNUL(e):
			c.fault(jsonpath.Index(path, i), nulProblem)
		case !ok:
			c.fault(jsonpath.Index(path, i), "must be name=value, not "+strconv.Quote(e))
		case name == "":
			c.fault(jsonpath.Index(path, i), "must have a name before '='")
		}
	}
}

// consoleSize checks one dimension of the terminal: the kernel's struct winsize has 16 bits for it.
func (c *checker) consoleSize(path string, n uint) {
	if n > math.MaxUint16 {
		c.fault(path, "must be at most 65535, not "+strconv.FormatUint(uint64(n), 10))
	}
}

// user checks process.user.
func (c *checker) user(u *specs.User) {
	if u.Username != "" {
		c.warn("process.user.username", "has no effect on Linux: uid and gid say who the user is")
	}
	c.id("process.user.uid", u.UID)
	c.id("process.user.gid", u.GID)
	for i, g := range u.AdditionalGids {
		if g == math.MaxUint32 {
			c.id(jsonpath.Index("process.user.additionalGids", i), g)
		}
	}
	if len(u.AdditionalGids) > maxGroups {
		c.fault("process.user.additionalGids", "must not have more than "+strconv.Itoa(maxGroups)+" entries")
	}
	if u.Umask != nil && *u.Umask > 0o777 {
		c.fault("process.user.umask", "must be at most 511 (octal 777), not "+strconv.FormatUint(uint64(*u.Umask), 10))
	}
}

// id rejects -1 (4294967295), which is not a user or group: setresuid(2) and related calls take it
// as "leave unchanged", and the process would keep root's.
func (c *checker) id(path string, n uint32) {
	if n == math.MaxUint32 {
		c.fault(path, "4294967295 is not an id: the kernel takes it as -1")
	}
}

// rlimits checks process.rlimits.
func (c *checker) rlimits(list []specs.POSIXRlimit) {
	seen := 0 // a bit for each resource
	for i := range list {
		r := &list[i]
		n, ok := RlimitResource(r.Type)
		if !ok {
			problem := "unknown limit " + strconv.Quote(r.Type)
			if r.Type == "" {
				problem = "is required"
			}
			c.fault(jsonpath.Index("process.rlimits", i)+".type", problem)
			continue
		}
		if seen&(1<<n) != 0 {
			c.fault(jsonpath.Index("process.rlimits", i)+".type", r.Type+" is there twice")
		}
		seen |= 1 << n
		if r.Soft > r.Hard {
			c.fault(jsonpath.Index("process.rlimits", i)+".soft", strconv.FormatUint(r.Soft, 10)+" is greater than hard, "+
				strconv.FormatUint(r.Hard, 10))
		}
	}
}
