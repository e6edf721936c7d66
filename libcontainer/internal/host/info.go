package host

import (
	"errors"
	"os"
	"slices"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
)

// Info describes this host and what the caller may do on it.
type Info struct {
	Kernel         Kernel          `json:"kernel"`
	Caller         Caller          `json:"caller"`
	Features       []Availability  `json:"features"`
	Namespaces     []NamespaceInfo `json:"namespaces"`
	Cgroups        Cgroups         `json:"cgroups"`
	Mounts         Mounts          `json:"mounts"`
	Security       Security        `json:"security"`
	UserNamespaces UserNamespaces  `json:"userNamespaces"`
	Rootless       Rootless        `json:"rootless"`
	CRIU           CRIU            `json:"criu"`
}

// An Answer is "yes", "no", or "unknown" when the caller may not find out.
type Answer string

const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

func answerOf(err error) Answer {
	lack := (*Lack)(nil)
	switch {
	case err == nil:
		return Yes
	case errors.As(err, &lack):
		return No
	}
	return Unknown
}

// Kernel is the running kernel.
type Kernel struct {
	Release      string `json:"release"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
	// System is the name of the distribution (os-release), "" when it has none.
	System string `json:"system,omitempty"`
}

// Caller is the calling process.
type Caller struct {
	UID          int      `json:"uid"`
	GID          int      `json:"gid"`
	Capabilities []string `json:"capabilities"` // effective
	// Nested is set in a user namespace that is not the initial one.
	Nested bool `json:"nested"`
}

// Availability is one kernel feature.
type Availability struct {
	Name  string `json:"name"`
	Since string `json:"since"` // the first version of Linux with it
	For   string `json:"for"`
	// Needed is set if every container needs the feature.
	Needed    bool   `json:"needed"`
	Available Answer `json:"available"`
}

// NamespaceInfo is one type of namespaces.
type NamespaceInfo struct {
	Type      string `json:"type"`
	Available Answer `json:"available"`
	// Limit is the greatest number of them in the caller's user namespace; 0 if none can be made,
	// or it is not known.
	Limit uint64 `json:"limit"`
}

// Security describes what can confine processes.
type Security struct {
	// Modules are the active security modules; null when they are not known.
	Modules  []string `json:"modules"`
	AppArmor bool     `json:"apparmor"`
	SELinux  bool     `json:"selinux"`
	Seccomp  Seccomp  `json:"seccomp"`
}

// Seccomp is what the kernel supports of seccomp filters, in config.json's names.
type Seccomp struct {
	Actions []string `json:"actions"`
	Flags   []string `json:"flags"`
}

// Gather describes this host. It starts processes in user namespaces of their own, and criu(8) for
// its version. They end before it returns.
func Gather() (*Info, error) {
	a := &asking{}
	if err := a.begin(); err != nil {
		return nil, err
	}
	i := &Info{Kernel: a.kernel(), Caller: a.callerInfo(), Security: a.security(), CRIU: criu()}
	for _, f := range needs.Features() {
		answer := answerOf(a.ask(needs.Need{Kind: needs.Feature, Name: f.Name}))
		i.Features = append(i.Features, Availability{Name: f.Name, Since: f.Since, For: f.For, Needed: f.Always, Available: answer})
	}
	for _, k := range specconv.NamespaceKinds() {
		answer := answerOf(a.ask(needs.Need{Kind: needs.Namespace, Name: string(k.Type)}))
		limit, _ := a.number("/proc/sys/user/max_" + k.Proc + "_namespaces")
		i.Namespaces = append(i.Namespaces, NamespaceInfo{Type: string(k.Type), Available: answer, Limit: limit})
	}
	var err error
	if i.Cgroups, err = a.cgroups(); err != nil {
		return nil, err
	}
	i.UserNamespaces = a.userNamespaces()
	i.Mounts = a.mounts()
	i.Rootless = a.rootless(i)
	return i, nil
}

func (a *asking) kernel() Kernel {
	u, err := sys.Uname()
	if err != nil {
		return Kernel{}
	}
	return Kernel{Release: u.Release, Version: u.Version, Architecture: u.Machine, System: a.system()}
}

func (a *asking) callerInfo() Caller {
	c := Caller{UID: a.ids.uid, GID: a.ids.gid, Nested: a.rights.Nested, Capabilities: []string{}}
	for n, name := range specconv.CapabilityNames() {
		if a.has(uint(n)) {
			c.Capabilities = append(c.Capabilities, name)
		}
	}
	return c
}

func (a *asking) security() Security {
	appArmor, _ := appArmorEnabled(a.root)
	s := Security{Modules: a.lsms(), AppArmor: appArmor, SELinux: selinuxEnabled(a.root), Seccomp: Seccomp{Actions: []string{}, Flags: []string{}}}
	have := func(kind needs.Kind) func(string) bool {
		return func(name string) bool { return a.ask(needs.Need{Kind: kind, Name: name}) != nil }
	}
	s.Seccomp.Actions = append(s.Seccomp.Actions, slices.DeleteFunc(specconv.SeccompActions(), have(needs.SeccompAction))...)
	s.Seccomp.Flags = append(s.Seccomp.Flags, slices.DeleteFunc(specconv.SeccompFlags(), have(needs.SeccompFlag))...)
	return s
}

// system returns the name of the distribution (os-release(5)).
func (a *asking) system() string {
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if name := releaseName(a.text(file)); name != "" {
			return name
		}
	}
	return ""
}

// runningSystemd reports whether systemd is the host's init (sd_booted(3)).
func (a *asking) runningSystemd() bool {
	info, err := os.Lstat(a.root + "/run/systemd/system")
	return err == nil && info.IsDir()
}
