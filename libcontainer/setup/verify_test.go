package setup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// does is an action of the tests that is lowered by a function.
type does struct {
	at phase
	do func(*lowering)
}

func (d does) kind() kind        { return kind{d.at, "do", "do something"} }
func (d does) lower(l *lowering) { d.do(l) }

func examplePlan(t *testing.T) *Plan {
	t.Helper()
	p, err := Container(parse(t, marshal(t, specconv.Example())), Options{StartSocket: true}, v1Facts())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// execPlan plans a process that joins a container, under a filter that allows everything the
// planner asks about.
func execPlan(t *testing.T) *Plan {
	t.Helper()
	f := &SeccompFilter{Answers: make(map[uintptr]uint32)}
	for _, c := range FilteredCalls() {
		f.Answers[c.Number] = unix.SECCOMP_RET_ALLOW
	}
	p, err := Exec(specconv.Example().Process, Join{Namespaces: all}, Options{}, Facts{Seccomp: f})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// index returns the index of the first step whose action is a T.
func index[T Action](t *testing.T, p *Plan) int {
	t.Helper()
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return is[T](s) })
	if i < 0 {
		t.Fatal("the plan has no such step")
	}
	return i
}

// TestRules breaks each rule.
//
// long: a case for each way to break one
func TestRules(t *testing.T) {
	remove := func(p *Plan, i int) { p.Steps = slices.Delete(p.Steps, i, i+1) }
	insert := func(p *Plan, i int, a Action) { p.Steps = slices.Insert(p.Steps, i, Step{"", a}) }
	swap := func(p *Plan, i, j int) { p.Steps[i], p.Steps[j] = p.Steps[j], p.Steps[i] }
	// call inserts a system call in the phase of the mounts, where a container's root is open and
	// the host is reachable.
	call := func(p *Plan, t *testing.T, do func(*lowering)) {
		insert(p, index[mountNew](t, p), does{phaseMounts, do})
	}
	cases := []struct {
		name, rule string
		spoil      func(t *testing.T, p *Plan)
	}{
		{"no isolation", "isolate first", func(_ *testing.T, p *Plan) { remove(p, 0) }},
		{"empty", "isolate first", func(_ *testing.T, p *Plan) { p.Steps = nil }},
		{"isolated twice", "isolate first", func(_ *testing.T, p *Plan) { insert(p, 1, isolate{}) }},
		{"mount after pivot", "phases in order", func(t *testing.T, p *Plan) { swap(p, index[mountNew](t, p), index[pivot](t, p)) }},
		{"root read-only before mounts", "phases in order", func(t *testing.T, p *Plan) { insert(p, index[mountNew](t, p), rootReadOnly{}) }},
		{"started before the user namespace", "namespaces in order", func(_ *testing.T, p *Plan) {
			insert(p, 1, joinUser{Path: "/u"})
			insert(p, 2, becomeRoot{})
		}},
		{"user namespace after others", "namespaces in order", func(_ *testing.T, p *Plan) {
			p.Cloneflags = 0
			insert(p, 1, newNamespaces{unix.CLONE_NEWNET})
			insert(p, 2, joinUser{Path: "/u"})
			insert(p, 3, becomeRoot{})
		}},
		{"nobody in the user namespace", "namespaces in order", func(_ *testing.T, p *Plan) {
			p.Cloneflags = 0
			insert(p, 1, joinUser{Path: "/u"})
			insert(p, 2, newNamespaces{unix.CLONE_NEWNET})
		}},
		{"another user without a namespace", "namespaces in order", func(_ *testing.T, p *Plan) { insert(p, 1, becomeRoot{}) }},
		{"join after clone", "namespaces in order", func(_ *testing.T, p *Plan) {
			insert(p, 1, cloneChild{})
			insert(p, 2, joinNamespace{"network", "/n", unix.CLONE_NEWNET, false})
		}},
		{"cloned twice", "namespaces in order", func(_ *testing.T, p *Plan) {
			insert(p, 1, cloneChild{})
			insert(p, 2, cloneChild{})
		}},
		{"dumpable among others", "isolate first", func(_ *testing.T, p *Plan) {
			p.Steps[0].Action = isolate{Dumpable: true}
			insert(p, 1, joinNamespace{"network", "/n", unix.CLONE_NEWNET, false})
		}},
		{"cgroup after its namespace", "cgroups first", func(t *testing.T, p *Plan) {
			insert(p, 1, newCgroupNamespace{})
			insert(p, index[hold](t, p), joinMemory{})
		}},
		{"one cgroup after the namespace", "phases in order", func(_ *testing.T, p *Plan) {
			insert(p, 1, joinCgroup{TasksOf("pids"), phaseIsolate})
			insert(p, 1, newCgroupNamespace{})
		}},
		{"calls after the filter", "filtered last", func(t *testing.T, p *Plan) {
			p.Steps = slices.Insert(p.Steps, len(p.Steps)-1, Step{"", loadSeccomp{Filter: &SeccompFilter{}}}, Step{"", does{phaseSeccomp, func(*lowering) {}}})
		}},
		{"nothing to take back", "filtered last", func(t *testing.T, p *Plan) {
			p.Steps = slices.Insert(p.Steps, len(p.Steps)-1, Step{"", loadSeccomp{Filter: &SeccompFilter{}}}, Step{"", dropAdmin{}})
		}},
		{"no root", "one root", func(t *testing.T, p *Plan) { remove(p, index[bindRoot](t, p)) }},
		{"two roots", "one root", func(t *testing.T, p *Plan) { insert(p, index[bindRoot](t, p), openRoot{"/"}) }},
		{"no pivot", "one root", func(t *testing.T, p *Plan) { remove(p, index[pivot](t, p)) }},
		{"two pivots", "one root", func(t *testing.T, p *Plan) { insert(p, index[pivot](t, p), changeRoot{}) }},
		{"own root and pivot", "one root", func(t *testing.T, p *Plan) { p.Steps[index[bindRoot](t, p)].Action = openOwnRoot{} }},
		{"no bounding set", "credentials dropped", func(t *testing.T, p *Plan) { remove(p, index[dropBounding](t, p)) }},
		{"no user", "credentials dropped", func(t *testing.T, p *Plan) { remove(p, index[setUser](t, p)) }},
		{"no capset", "credentials dropped", func(t *testing.T, p *Plan) { remove(p, index[setCapabilities](t, p)) }},
		{"no ambient", "credentials dropped", func(t *testing.T, p *Plan) { remove(p, index[setAmbient](t, p)) }},
		{"user twice", "credentials dropped", func(t *testing.T, p *Plan) { insert(p, index[setUser](t, p), setUser{}) }},
		{"mask without masks", "masks prepared", func(t *testing.T, p *Plan) { remove(p, index[prepareMasks](t, p)) }},
		{"no exec", "exec last", func(_ *testing.T, p *Plan) { remove(p, len(p.Steps)-1) }},
		{"two execs", "exec last", func(_ *testing.T, p *Plan) { insert(p, len(p.Steps)-1, execHook{execProgram{Name: "/x"}}) }},
		{"walk not held", "opened in the root", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.openat2(l.root, "etc/passwd", unix.O_PATH, 0, unix.RESOLVE_NO_MAGICLINKS) })
		}},
		{"magic links", "opened in the root", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.openat2(l.root, "etc/passwd", unix.O_PATH, 0, unix.RESOLVE_IN_ROOT) })
		}},
		{"path for a name", "names only", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.at(unix.SYS_MKDIRAT, in(l.root), "a/b", nsenter.Int(0o755)) })
		}},
		{"upwards", "names only", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.at(unix.SYS_MKDIRAT, in(l.root), "..", nsenter.Int(0o755)) })
		}},
		{"host after pivot", "no host after pivot", func(t *testing.T, p *Plan) {
			insert(p, index[pivot](t, p)+1, does{phaseInside, func(l *lowering) {
				l.host(unix.SYS_OPEN_TREE, "/etc", nsenter.Int(unix.AT_FDCWD), l.str("/etc"), nsenter.Int(1))
			}})
		}},
		{"own before pivot", "no path before", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.own(unix.SYS_CHDIR, "/", l.str("/")) })
		}},
		{"plain mount", "calls as listed", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.call(unix.SYS_MOUNT, l.str("x"), l.str("/proc"), l.str("tmpfs")) })
		}},
		{"plain openat", "calls as listed", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.call(unix.SYS_OPENAT, nsenter.Int(unix.AT_FDCWD), l.str("/etc")) })
		}},
		{"mount on the host", "calls as listed", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.host(unix.SYS_MOUNT, "/proc", l.str("x"), l.str("/proc"), l.str("tmpfs")) })
		}},
		{"openat by a name", "calls as listed", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.at(unix.SYS_OPENAT, in(l.root), "link", nsenter.Int(0)) })
		}},
		{"chdir elsewhere", "calls as listed", func(t *testing.T, p *Plan) {
			insert(p, index[pivot](t, p)+1, does{phaseInside, func(l *lowering) { l.own(unix.SYS_CHDIR, "/tmp", l.str("/tmp")) }})
		}},
		{"mount point not looked at", "mount points", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.move(l.fd(), l.destination("/srv", aDirectory)) })
		}},
		{"remount not looked at", "mount points", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.setattr(l.destination("/srv", anything), unix.MountAttr{}, false) })
		}},
		{"hooks twice", "rendezvous paired", func(t *testing.T, p *Plan) {
			insert(p, index[readOnlyPath](t, p), runHooks{})
			insert(p, index[readOnlyPath](t, p), runHooks{})
		}},
		{"no wait", "rendezvous paired", func(t *testing.T, p *Plan) {
			insert(p, index[readOnlyPath](t, p), does{phaseHooks, func(l *lowering) { l.send(MessageHooks, nil) }})
		}},
		{"devices twice", "rendezvous paired", func(t *testing.T, p *Plan) {
			insert(p, index[readOnlyPath](t, p), awaitNetDevices{})
			insert(p, index[readOnlyPath](t, p), awaitNetDevices{})
		}},
		{"no wait for devices", "rendezvous paired", func(t *testing.T, p *Plan) {
			insert(p, index[readOnlyPath](t, p), does{phaseHooks, func(l *lowering) { l.send(MessageNetDevices, nil) }})
		}},
		{"wait for nothing", "rendezvous paired", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.await() })
		}},
		{"release pipe in place of an answer", "rendezvous paired", func(t *testing.T, p *Plan) {
			insert(p, index[readOnlyPath](t, p), does{phaseHooks, func(l *lowering) { l.send(MessageHooks, nil); l.awaitRelease() }})
		}},
		{"late cgroup from inside", "no host after pivot", func(t *testing.T, p *Plan) {
			insert(p, index[hold](t, p), does{phaseReady, func(l *lowering) { l.hostOpen("/tasks", unix.O_WRONLY) }})
		}},
		{"half a copy", "rendezvous paired", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.sendFile(MessageCopyFrom, l.root, nil) })
		}},
		{"other half of a copy", "rendezvous paired", func(t *testing.T, p *Plan) {
			call(p, t, func(l *lowering) { l.sendFile(MessageCopyTo, l.root, nil); l.await() })
		}},
		{"exec with descriptors", "closed last", func(_ *testing.T, p *Plan) {
			p.Steps[len(p.Steps)-1].Action = does{phaseExec, func(l *lowering) { l.own(unix.SYS_EXECVE, "/x", l.str("/x")) }}
		}},
		{"no exec after all", "closed last", func(_ *testing.T, p *Plan) {
			p.Steps[len(p.Steps)-1].Action = does{phaseExec, func(l *lowering) { l.closeOnExec() }}
		}},
		{"entered with privileges", "entered last", func(t *testing.T, p *Plan) {
			*p = *execPlan(t)
			insert(p, index[joinContainer](t, p)+1, cloneChild{})
		}},
		{"entered with descriptors", "entered last", func(t *testing.T, p *Plan) {
			*p = *execPlan(t)
			remove(p, index[closeOwn](t, p))
		}},
		{"work after the entry", "entered last", func(t *testing.T, p *Plan) {
			*p = *execPlan(t)
			insert(p, index[cloneChild](t, p)+1, does{phaseOwn, func(*lowering) {}})
		}},
		{"entered under a filter", "filter allows", func(t *testing.T, p *Plan) {
			*p = *execPlan(t)
			delete(p.Steps[index[loadSeccomp](t, p)].Action.(loadSeccomp).Filter.Answers, unix.SYS_SETSID)
		}},
		{"attached in a rehearsal", "nothing stays", func(t *testing.T, p *Plan) {
			*p = *p.Rehearsal()
			insert(p, index[tryNew](t, p), does{phaseMounts, func(l *lowering) { l.move(l.fd(), l.fd()) }})
		}},
	}
	tried := make(map[string]bool)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := examplePlan(t)
			if err := p.Verify(); err != nil {
				t.Fatal("before it is spoilt: ", err)
			}
			p = examplePlan(t)
			tc.spoil(t, p)
			err := p.Verify()
			var broken *RuleError
			if !errors.As(err, &broken) || broken.Rule != tc.rule {
				t.Errorf("got %v, want the rule %q", err, tc.rule)
			}
			if prog, err := p.Lower(); err == nil || prog != nil {
				t.Error("it can be lowered")
			}
		})
		tried[tc.rule] = true
	}
	for _, r := range stepRules {
		if !tried[r.name] {
			t.Errorf("no case breaks the rule %q", r.name)
		}
	}
	for _, r := range callRules {
		if !tried[r.name] {
			t.Errorf("no case breaks the rule %q", r.name)
		}
	}
}

// TestCallsAreRecorded: the rules only see calls that go through lowering's methods.
func TestCallsAreRecorded(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"Call", "Send", "SendFile", "Await", "Rendezvous", "SendOr", "AwaitOr"} {
			if name != "lowering.go" && name != "verify_test.go" && strings.Contains(string(source), "prog."+method+"(") {
				t.Errorf("%s calls prog.%s itself", name, method)
			}
		}
	}
}

// FuzzContainer: an accepted configuration gives a plan that keeps all rules, or an error.
func FuzzContainer(f *testing.F) {
	for _, name := range []string{"docker.json", "everything.json"} {
		f.Add(readConfig(f, name), true, false, uint64(0))
	}
	f.Add(marshal(f, specconv.Example()), false, true, uint64(1))
	f.Fuzz(func(t *testing.T, config []byte, socket, noPivot bool, grantable uint64) {
		b, err := specconv.Parse(config, "/bundle")
		if err != nil {
			return
		}
		facts := v1Facts()
		facts.Grantable = grantable
		keepsRules(t, b, Options{StartSocket: socket, NoPivot: noPivot}, facts)
	})
}

// FuzzStrings fills the free strings of a configuration.
func FuzzStrings(f *testing.F) {
	f.Add("/x", "tmpfs", "src", "size=1,mode=7", "/cwd", "/dev/x", "/masked", "cmd", "PATH=:/a::/b")
	f.Add("/", "bind", "/", "ro", "/../..", "/dev/ptmx", "/", "", "PATH=")
	f.Add("/dev", "bind", "..", "remount", "/a/b/c/d", "/dev/null", "/dev/null/x", "./a/../b", "HOME")
	f.Fuzz(func(t *testing.T, destination, fstype, source, options, cwd, device, hidden, arg, env string) {
		spec := specconv.Example()
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: destination, Type: fstype, Source: source, Options: strings.Split(options, " ")},
			specs.Mount{Destination: destination + "/sub", Type: "tmpfs"})
		spec.Process.Cwd, spec.Process.Args, spec.Process.Env = cwd, []string{arg}, []string{env}
		spec.Linux.Devices = []specs.LinuxDevice{{Path: device, Type: "c"}}
		spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = []string{hidden}, []string{hidden}
		b, err := specconv.Parse(marshal(t, spec), "/bundle")
		if err != nil {
			return
		}
		keepsRules(t, b, Options{StartSocket: true}, v1Facts())
	})
}

// keepsRules plans a bundle, and the same process as one that joins.
func keepsRules(t *testing.T, b *specconv.Bundle, o Options, facts Facts) {
	t.Helper()
	p, err := Container(b, o, facts)
	if err != nil {
		return
	}
	makesImage(t, p)
	makesImage(t, p.Rehearsal("/sys/fs/cgroup"))
	if b.Spec.Process == nil {
		return
	}
	if p, err = Exec(b.Spec.Process, Join{Namespaces: unix.CLONE_NEWPID}, o, facts); err != nil {
		return
	}
	makesImage(t, p)
}

func makesImage(t *testing.T, p *Plan) {
	t.Helper()
	_ = p.String()
	prog, err := p.Lower()
	if err != nil {
		t.Fatal(err)
	}
	fds := map[string]int{"channel": 3}
	for _, d := range p.Needs() {
		fds[string(d.Name)] = 4
	}
	if _, err := prog.Image(fds); err != nil {
		t.Error(err)
	}
}
