package needs

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// process adds the needs of the container's process.
func (l *list) process() {
	if !l.inUser {
		l.capabilities()
	}
	p := l.spec.Process
	if p == nil {
		return
	}
	if p.Cwd != "" {
		l.add("process.cwd", Need{Kind: Directory, Name: p.Cwd})
	}
	if len(p.Args) > 0 {
		l.add("process.args[0]", Need{Kind: Program, Name: p.Args[0], Paths: setup.Candidates(p.Args[0], p.Env)})
	}
	for i, r := range p.Rlimits {
		l.add(jsonpath.Index("process.rlimits", i), Need{Kind: Limit, Name: r.Type, Of: strconv.FormatUint(r.Hard, 10)})
	}
	if p.ApparmorProfile != "" {
		l.add("process.apparmorProfile", Need{Kind: AppArmor, Name: p.ApparmorProfile})
	}
	if p.SelinuxLabel != "" {
		l.add("process.selinuxLabel", Need{Kind: SELinux, Name: p.SelinuxLabel})
	}
	if a := p.ExecCPUAffinity; a != nil {
		l.processors("process.execCPUAffinity.initial", a.Initial)
		l.processors("process.execCPUAffinity.final", a.Final)
	}
}

func (l *list) processors(path, set string) {
	if set != "" {
		// They are for processes that are executed in the container later.
		l.all = append(l.all, Requirement{Path: path, Need: Need{Kind: Processors, Name: set}, Minor: true})
	}
}

// capabilities adds the capabilities that the caller needs to set the process's credentials. In a
// user namespace it has all.
func (l *list) capabilities() {
	l.add("process.capabilities.bounding", Need{Kind: Capability, Name: "CAP_SETPCAP"})
	user := specs.User{}
	if p := l.spec.Process; p != nil {
		user = p.User
	}
	if user.UID != l.caller.UID {
		l.add("process.user.uid", Need{Kind: Capability, Name: "CAP_SETUID"})
	}
	if l.spec.Annotations[specconv.KeepGroups] != "1" {
		l.add("process.user.additionalGids", Need{Kind: Capability, Name: "CAP_SETGID"})
	}
	if _, ok := l.bundle.Namespace(specs.MountNamespace); !ok {
		l.add("root.path", Need{Kind: Capability, Name: "CAP_SYS_CHROOT"})
	}
}

// hooks adds the programs of hooks: startContainer's are looked up in the container. A failing
// poststop hook only causes a warning.
func (l *list) hooks() {
	h := l.spec.Hooks
	if h == nil {
		return
	}
	for _, kind := range specconv.HookKinds() {
		for i, hook := range specconv.HooksOf(h, kind) {
			n := Need{Kind: HostProgram, Name: hook.Path}
			if kind == "startContainer" {
				n.Kind, n.Paths = Program, []string{hook.Path}
			}
			l.all = append(l.all, Requirement{Path: jsonpath.Index("hooks."+kind, i) + ".path", Need: n, Minor: kind == "poststop"})
		}
	}
}
