package e2e

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// details are the fields of an error in the log besides its message.
type details struct{ Code, Errno, Path, Field, Step string }

// detailed returns the log of a command that fails.
func detailed(b *harness.Box, args ...string) (details, string) {
	b.T.Helper()
	log := filepath.Join(b.T.TempDir(), "log")
	b.Fails("", append([]string{"--log", log, "--log-format", "json"}, args...)...)
	var entry struct {
		details
		Msg string
	}
	if text := read(b.T.(*testing.T), log); json.Unmarshal([]byte(text), &entry) != nil {
		b.T.Fatalf("not one JSON object: %s", text)
	}
	return entry.details, entry.Msg
}

// TestErrorDetails: the log has the origin of an error in a form for programs, in every phase of a
// container's life. Values in want are prefixes: BUNDLE is the bundle, and an empty value must be
// missing.
//
// long: a table
func TestErrorDetails(t *testing.T) {
	harness.OrlopOnly(t, "others have no such details")
	needBusybox(t)
	mount := func(m specs.Mount) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m) }
	}
	hook := func(set func(*specs.Hooks, []specs.Hook), h specs.Hook) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Hooks = new(specs.Hooks)
			set(s.Hooks, []specs.Hook{h})
		}
	}
	create := []string{"create", "--bundle", "BUNDLE", "ID"}
	one := 1
	exit := specs.Hook{Path: "/bin/busybox", Args: []string{"false"}}
	ids := []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
	number := len(harness.Example().Mounts)
	added := "mounts[" + strconv.Itoa(number) + "]"
	for name, tc := range map[string]struct {
		change func(*specs.Spec)
		before []string // a command that must succeed, of words
		args   []string
		want   details
	}{
		"no bundle":           {nil, nil, []string{"create", "--bundle", "/no/such", "ID"}, details{Code: "system", Errno: "ENOENT", Path: "/no/such/config.json"}},
		"missing bind source": {mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: "/no/such", Options: []string{"bind"}}), nil, create, details{Code: "host", Errno: "ENOENT", Path: "/no/such", Field: added + ".source"}},
		"unknown filesystem":  {mount(specs.Mount{Destination: "/mnt", Type: "nosuchfs", Source: "x"}), nil, create, details{Code: "step", Errno: "ENODEV", Field: added, Step: "mount nosuchfs on /mnt"}},
		"id-mapped": {mount(specs.Mount{Destination: "/mnt", Type: "proc", Source: "proc", Options: []string{"idmap"}, UIDMappings: ids, GIDMappings: ids}), nil, create,
			details{Code: "step", Errno: "EINVAL", Field: added, Step: "map its ids"}},
		"limit": {func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 62, Hard: 1 << 62}}
		}, nil, create, details{Code: "step", Errno: "EPERM", Field: "process.rlimits[0]", Step: "set limit RLIMIT_NOFILE"}},
		"cgroupsPath":         {func(s *specs.Spec) { s.Linux.CgroupsPath = "/a/../b" }, nil, create, details{Code: "config", Field: "linux.cgroupsPath"}},
		"namespace path":      {harness.WithNamespace(specs.NetworkNamespace, "/no/such"), nil, create, details{Code: "host", Errno: "ENOENT", Path: "/no/such", Field: "linux.namespaces["}},
		"user namespace path": {harness.WithNamespace(specs.UserNamespace, "/no/such"), nil, create, details{Code: "host", Errno: "ENOENT", Path: "/no/such", Field: "linux.namespaces["}},
		"program":             {harness.Args("nosuchprogram"), nil, create, details{Code: "step", Errno: "ENOENT", Field: "process.args", Step: "exec "}},
		"cwd":                 {func(s *specs.Spec) { s.Process.Cwd = "/bin/busybox" }, nil, create, details{Code: "step", Errno: "ENOTDIR", Field: "process.cwd", Step: "make the directory /bin/busybox"}},
		"sysctl":              {func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.nosuch": "1"} }, nil, create, details{Code: "step", Errno: "ENOENT", Field: "linux.sysctl", Step: "set sysctl net.nosuch"}},
		"seccomp": {func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_ARM"}, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: "SCMP_ACT_ERRNO", Args: []specs.LinuxSeccompArg{{Index: 9, Op: specs.OpEqualTo}}}}}
		}, nil, create, details{Code: "config", Field: "linux.seccomp.syscalls[0]"}},
		"seccomp listener": {func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/no/such", Syscalls: []specs.LinuxSyscall{{Names: []string{"mknod"}, Action: specs.ActNotify}}}
		}, create, []string{"start", "ID"}, details{Code: "host", Errno: "ENOENT", Path: "/no/such", Field: "linux.seccomp.listenerPath"}},
		"netDevices": {func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"nosuch": {}} }, nil, create, details{Code: "host", Errno: "ENODEV", Field: "linux.netDevices.nosuch"}},
		"annotation": {func(s *specs.Spec) {
			s.Annotations = map[string]string{"org.systemd.property.X": "'"}
			s.Linux.CgroupsPath = "system.slice:orlop:details"
		}, nil, append([]string{"--systemd-cgroup"}, create...), details{Code: "config", Field: `annotations["org.systemd.property.X"]`}},
		"prestart":               {hook(func(h *specs.Hooks, l []specs.Hook) { h.Prestart = l }, exit), nil, create, details{Code: "hook", Path: "/bin/busybox", Field: "hooks.prestart[0]"}},
		"createRuntime":          {hook(func(h *specs.Hooks, l []specs.Hook) { h.CreateRuntime = l }, exit), nil, create, details{Code: "hook", Path: "/bin/busybox", Field: "hooks.createRuntime[0]"}},
		"createRuntime, missing": {hook(func(h *specs.Hooks, l []specs.Hook) { h.CreateRuntime = l }, specs.Hook{Path: "/no/such"}), nil, create, details{Code: "hook", Errno: "ENOENT", Path: "/no/such", Field: "hooks.createRuntime[0]"}},
		"createRuntime, late":    {hook(func(h *specs.Hooks, l []specs.Hook) { h.CreateRuntime = l }, specs.Hook{Path: "/bin/busybox", Args: []string{"sleep", "1000"}, Timeout: &one}), nil, create, details{Code: "hook", Path: "/bin/busybox", Field: "hooks.createRuntime[0]"}},
		"createContainer":        {hook(func(h *specs.Hooks, l []specs.Hook) { h.CreateContainer = l }, exit), nil, create, details{Code: "hook", Path: "/bin/busybox", Field: "hooks.createContainer[0]"}},
		"startContainer":         {hook(func(h *specs.Hooks, l []specs.Hook) { h.StartContainer = l }, exit), create, []string{"start", "ID"}, details{Code: "hook", Path: "/bin/busybox", Field: "hooks.startContainer[0]"}},
		"poststart":              {hook(func(h *specs.Hooks, l []specs.Hook) { h.Poststart = l }, exit), create, []string{"start", "ID"}, details{Code: "hook", Path: "/bin/busybox", Field: "hooks.poststart[0]"}},
		"console socket":         {func(s *specs.Spec) { s.Process.Terminal = true }, nil, []string{"create", "--bundle", "BUNDLE", "--console-socket", "/no/such", "ID"}, details{Code: "system", Errno: "ENOENT", Path: "/no/such"}},
		"PID file":               {nil, nil, []string{"create", "--bundle", "BUNDLE", "--pid-file", "/no/such/file", "ID"}, details{Code: "system", Errno: "ENOENT", Path: "/no/such"}},
		"taken":                  {nil, create, create, details{Code: "exist"}},
		"start of none":          {nil, nil, []string{"start", "ID"}, details{Code: "not-exist"}},
		"exec of none":           {nil, nil, []string{"exec", "ID", "true"}, details{Code: "not-exist"}},
		"exec, program":          {nil, create, []string{"exec", "ID", "nosuchprogram"}, details{Code: "step", Errno: "ENOENT", Field: "process.args", Step: "exec "}},
		"exec, cwd":              {nil, create, []string{"exec", "--cwd", "/no/such", "ID", "true"}, details{Code: "step", Errno: "ENOENT", Field: "process.cwd", Step: "enter the directory /no/such"}},
		"exec, --process":        {nil, create, []string{"exec", "--process", "/no/such", "ID"}, details{Code: "system", Errno: "ENOENT", Path: "/no/such"}},
		"exec, no JSON":          {nil, create, []string{"exec", "--process", "/bin/busybox", "ID"}, details{Code: "config"}},
		"exec, user":             {nil, create, []string{"exec", "--user", "x", "ID", "true"}, details{Code: "usage"}},
		"delete of a running":    {harness.Args("sleep", "1000"), []string{"run", "--detach", "--bundle", "BUNDLE", "ID"}, []string{"delete", "ID"}, details{Code: "running"}},
		"update, no JSON":        {nil, create, []string{"update", "--resources", "/bin/busybox", "ID"}, details{Code: "config"}},
		"update, file":           {nil, create, []string{"update", "--resources", "/no/such", "ID"}, details{Code: "system", Errno: "ENOENT", Path: "/no/such"}},
		"update, cpus":           {nil, create, []string{"update", "--cpuset-cpus", "4000", "ID"}, details{Code: "resource", Errno: "E", Path: "/sys/fs/cgroup", Field: "linux.resources.cpu.cpus"}},
		"kill, signal":           {nil, create, []string{"kill", "ID", "NOSUCH"}, details{Code: "usage"}},
		"resume":                 {nil, create, []string{"resume", "ID"}, details{Code: "not-paused"}},
		"exec, cgroup":           {nil, create, []string{"exec", "--cgroup", "nosuch:x", "ID", "true"}, details{Code: "usage"}},
		"ps, option":             {nil, create, []string{"ps", "ID", "--nosuch"}, details{Code: "program"}},
		"ps, columns":            {nil, create, []string{"ps", "ID", "-o", "comm"}, details{Code: "usage"}},
		"empty file":             {nil, create, []string{"update", "--resources", "/dev/null", "ID"}, details{Code: "config"}},
		"no process":             {func(s *specs.Spec) { s.Process = nil }, create, []string{"exec", "ID", "true"}, details{Code: "usage"}},
		"host's mounts":          {harness.WithNamespace(specs.MountNamespace, "/proc/self/ns/mnt"), nil, create, details{Code: "config", Field: "linux.namespaces["}},
		"flag":                   {nil, nil, []string{"create", "--nosuch"}, details{Code: "usage"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t)
			if tc.change != nil {
				tc.change(b.Spec)
				b.Write()
			}
			words := strings.NewReplacer("BUNDLE", b.Bundle, "ID", b.ID)
			fill := func(args []string) (filled []string) {
				for _, arg := range args {
					filled = append(filled, words.Replace(arg))
				}
				return filled
			}
			if tc.before != nil {
				c := b.Cmd(fill(tc.before)...)
				c.Stdout = b.Lines().Writer
				c.Run().OK(b)
			}
			got, message := detailed(b, fill(tc.args)...)
			for what, values := range map[string][2]string{"code": {got.Code, tc.want.Code}, "errno": {got.Errno, tc.want.Errno},
				"path": {got.Path, tc.want.Path}, "field": {got.Field, tc.want.Field}, "step": {got.Step, tc.want.Step}} {
				if !strings.HasPrefix(values[0], values[1]) || (values[0] != "") != (values[1] != "") {
					t.Errorf("%s is %q, want %q: %s", what, values[0], values[1], message)
				}
			}
			if got.Field != "" && !strings.Contains(message, got.Field) {
				t.Errorf("the message does not name %s: %s", got.Field, message)
			}
		})
	}
}
