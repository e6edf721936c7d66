package e2e

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
	"github.com/orlop/orlop/tests/peers"
)

// fromRunc is the page that tells users of runc about the differences.
const fromRunc = "../../docs/from-runc.md"

// newRunc returns the path of the runc that the page describes, the one that tests/tools pins. It
// skips a test if that is not available.
func newRunc(t *testing.T) string {
	t.Helper()
	harness.OrlopOnly(t, "it runs runc itself")
	p, err := peers.Find("../..")
	if none := (peers.UnavailableError{}); errors.As(err, &none) {
		t.Skip("no runc to compare with: ", none)
	}
	must(t, err)
	return p.Runc
}

// beside returns a box with runc in place of orlop.
func beside(t *testing.T, changes ...func(*specs.Spec)) *harness.Box {
	t.Helper()
	runc := newRunc(t)
	b := harness.New(t, changes...)
	b.Wrap = []string{"sh", "-c", `shift; exec "$RUNC" "$@"`, "sh"}
	b.Env = []string{"RUNC=" + runc}
	return b
}

// pageFromRunc returns the page.
func pageFromRunc(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(fromRunc)
	if err != nil {
		t.Skip("the documentation is not here: ", err)
	}
	return string(page)
}

// A step is a command line, in which ID and BUNDLE are replaced by the box's.
type step struct{ line, stdin string }

// result is the result of a difference's last step: its status, and a part of its output.
type result struct {
	status int
	text   string
}

// A difference is one between runc and orlop, in the words of the page.
type difference struct {
	words  string
	change func(*specs.Spec)
	steps  []step
	runc   result
	orlop  result
}

// differences are rows of the page.
//
// long: a table
func differences() []difference {
	const create, run = "create --bundle BUNDLE ID", "run --bundle BUNDLE ID"
	hook := func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 3"}}}}
	}
	steps := func(lines ...string) (list []step) {
		for _, line := range lines {
			list = append(list, step{line: line})
		}
		return list
	}
	return []difference{
		{"`delete` of a created container", nop, steps(create, "delete ID"),
			result{0, ""}, result{1, "container still running (created)"}},
		{"`kill ID 0`", nop, steps(create, "kill ID 0"),
			result{0, ""}, result{1, "must be from 1 to 64"}},
		{"`exec --cap` of an unknown capability", harness.Args("sleep", "1000"), steps(create, "start ID", "exec --cap CAP_NOPE ID true"),
			result{0, "ignoring unknown or unavailable capabilities"}, result{255, "unknown capability"}},
		{"`update` with flags beside `--resources`", nop,
			[]step{{create, ""}, {"update --pids-limit 33 --resources - ID", `{"pids":{"limit":44}}`}, {"events --stats ID", ""}},
			result{0, `"limit":44`}, result{0, `"limit":33`}},
		{"`..` in `linux.cgroupsPath`", func(s *specs.Spec) {
			s.Linux.CgroupsPath = harness.CgroupParent() + "/x/.." + strings.TrimPrefix(s.Linux.CgroupsPath, harness.CgroupParent())
		},
			steps(create), result{0, ""}, result{1, `linux.cgroupsPath: must not contain ".."`}},
		{"`--preserve-fds` of descriptors that are not open", nop, steps("create --preserve-fds 3 --bundle BUNDLE ID"),
			result{0, ""}, result{1, "bad file descriptor"}},
		{"no `process`", func(s *specs.Spec) { s.Process = nil }, steps(create),
			result{1, "process property must not be empty"}, result{0, ""}},
		{"no `ociVersion`", func(s *specs.Spec) { s.Version = "" }, steps(create),
			result{0, ""}, result{1, "ociVersion: is required"}},
		{"`ociVersion` 2.0.0", func(s *specs.Spec) { s.Version = "2.0.0" }, steps(create),
			result{0, ""}, result{1, "major version must be 1"}},
		{"several faults", func(s *specs.Spec) { s.Process.Cwd, s.Process.Args = "x", nil }, steps(create),
			result{1, "Cwd must be an absolute path"}, result{1, "process.args: needs at least one entry\n  process.cwd: must be absolute"}},
		{"a program that cannot be executed", harness.Args("/bin/junk"), steps(create, "start ID"),
			result{0, ""}, result{1, `process.args: exec "/bin/junk": exec format error`}},
		{"poststart hooks", hook, steps(create),
			result{1, "error running poststart hook"}, result{0, ""}},
		{"an ambient capability that is not inheritable", func(s *specs.Spec) {
			kill := []string{"CAP_KILL"}
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: kill, Effective: kill, Permitted: kill, Ambient: kill}
			s.Process.Args = []string{"true"}
		}, steps("--debug run --bundle BUNDLE ID"), result{0, ""}, result{0, "CAP_KILL is not both permitted and inheritable, left out"}},
		{"an unknown option of a bind mount", func(s *specs.Spec) {
			harness.WithMount("/mnt", "bind", "/", "rbind", "nofail")(s)
			s.Process.Args = []string{"true"}
			s.Root.Readonly = false
		}, steps(run), result{1, "bind mounts cannot have any filesystem-specific options"}, result{0, ""}},
		{"`linux.sysctl`: `kernel.hostname`", func(s *specs.Spec) {
			s.Hostname, s.Linux.Sysctl = "deck", map[string]string{"kernel.hostname": "deck"}
			s.Process.Args = []string{"hostname"}
		}, steps(run), result{1, "conflicts with the OCI"}, result{0, "deck"}},
		{"`linux.sysctl`: a `kernel.domainname` other than `domainname`", func(s *specs.Spec) {
			s.Domainname, s.Linux.Sysctl = "deck", map[string]string{"kernel.domainname": "hold"}
		}, steps(create), result{0, ""}, result{1, "conflicts with domainname"}},
		{"`linux.resources.blockIO.weight` out of range", func(s *specs.Spec) {
			weight := uint16(5)
			s.Linux.Resources = &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: &weight}}
		}, steps(create), result{0, ""}, result{1, "linux.resources.blockIO.weight"}},
		{"`linux.uidMappings` without a user namespace", func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 7, Size: 1}}
		}, steps(create), result{0, ""}, result{1, "linux.uidMappings: needs a user namespace"}},
		{"`linux.maskedPaths` and `linux.readonlyPaths` that are not absolute", func(s *specs.Spec) {
			s.Linux.MaskedPaths = []string{"etc"}
		}, steps(create), result{0, ""}, result{1, "linux.maskedPaths[0]: must be absolute"}},
		{"a path twice in `linux.maskedPaths` or `readonlyPaths`", func(s *specs.Spec) {
			s.Linux.ReadonlyPaths = []string{"/etc", "/etc"}
			s.Process.Args = []string{"grep", "-c", " /etc ", "/proc/self/mountinfo"}
		}, steps(run), result{0, "2"}, result{0, "1"}},
		{"a hook path that is not absolute", func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "true"}}}
		}, steps(create), result{1, "error running createRuntime hook"}, result{1, "hooks.createRuntime[0].path: must be absolute"}},
		{"no `process.capabilities`", func(s *specs.Spec) {
			s.Process.Capabilities = nil
			s.Process.Args = []string{"grep", "-c", "CapBnd:\t0000000000000000", "/proc/self/status"}
		}, steps(run), result{1, "0"}, result{0, "1"}},
		{"crun's annotations", func(s *specs.Spec) {
			s.Annotations = map[string]string{"run.oci.handler": "krun"}
		}, steps(create), result{0, ""}, result{1, "run.oci.handler"}},
		{"crun's mount options", func(s *specs.Spec) {
			harness.WithMount("/mnt", "bind", "/", "bind", "copy-symlink")(s)
		}, steps(create), result{1, "bind mounts cannot have any filesystem-specific options"}, result{0, ""}},
		{"`exec ID -- COMMAND`", harness.Args("sleep", "1000"), steps(create, "start ID", "exec ID -- true"),
			result{255, "--"}, result{0, ""}},
		{"a directory as the program", harness.Args("sleep", "1000"), steps(create, "start ID", "exec ID /bin"),
			result{255, "is a directory"}, result{255, "permission denied"}},
		{"a field that orlop does not know", nop, []step{{create, ""}, {"update --resources - ID", `{"memmory":{"limit":1}}`}},
			result{0, ""}, result{0, "memmory: unknown property, ignored"}},
		{"an error on standard error, without `--log`", nop, steps("state nosuch"),
			result{1, `level=error msg="container does not exist"`}, result{1, "orlop: container \"nosuch\": container does not exist\n"}},
		{"`--version`", nop, steps("--version"), result{0, "runc version "}, result{0, "orlop version "}},
		{"a usage error", nop, steps("state"),
			result{1, "USAGE:"}, result{1, "orlop: state: takes the ID of a container, not 0 arguments"}},
		{"an unknown command", nop, steps("nosuch"),
			result{3, "No help topic"}, result{1, `unknown command "nosuch"`}},
		{"the log's line of an error", nop, steps("--log-format json state nosuch"),
			result{1, `"msg":"container does not exist"`}, result{1, `"code":"not-exist"`}},
		{"`state`", nop, steps(create, "state ID"),
			result{0, `"owner": ""`}, result{0, `"owner": "root"`}},
		{"`checkpoint`, `restore`", nop, steps("restore --help"),
			result{0, "--image-path"}, result{1, `unknown command "restore"`}},
	}
}

// TestFromRunc: the page's statements about runc and orlop, each checked with both.
func TestFromRunc(t *testing.T) {
	for _, d := range differences() {
		t.Run(d.words, func(t *testing.T) {
			d.check(t, beside(t, d.change), d.runc)
			d.check(t, harness.New(t, d.change), d.orlop)
		})
	}
}

// check performs the steps in a box.
func (d *difference) check(t *testing.T, b *harness.Box, want result) {
	t.Helper()
	must(t, os.WriteFile(b.Rootfs+"/bin/junk", []byte("\x01\x02 is no program"), 0o755))
	var last harness.Result
	for i, s := range d.steps {
		c := b.Cmd(strings.Fields(strings.NewReplacer("ID", b.ID, "BUNDLE", b.Bundle).Replace(s.line))...)
		c.Stdin = strings.NewReader(s.stdin)
		if last = c.Run(); i < len(d.steps)-1 {
			last.OK(b)
		}
	}
	// runc reports an invalid command line on standard output.
	if out := last.Stdout + last.Stderr; last.Status != want.status || !strings.Contains(out, want.text) {
		t.Errorf("%q: status %d: %s\nwant %d and %q", last.Args, last.Status, out, want.status, want.text)
	}
	b.Do("delete", "--force", b.ID)
}

// TestFromRuncIsTold: the page has a row for each difference.
func TestFromRuncIsTold(t *testing.T) {
	page := pageFromRunc(t)
	for _, d := range differences() {
		if !strings.Contains(page, "\n| "+d.words) {
			t.Errorf("%s has no row for %s", fromRunc, d.words)
		}
	}
}

// TestContainersOfRunc: orlop with runc's --root, as after an engine's runtime was exchanged: it
// leaves runc's containers alone.
func TestContainersOfRunc(t *testing.T) {
	r := beside(t)
	pid := r.Up()
	b := harness.New(t)
	other := b.Root
	b.Root = r.Root
	for _, line := range []string{"state ID", "start ID", "kill ID KILL", "exec ID true", "delete ID", "delete --force ID", "ps ID", "update --pids-limit 3 ID", "pause ID", "events ID", "stats ID"} {
		b.Fails("state of another runtime", strings.Fields(strings.ReplaceAll(line, "ID", r.ID))...)
	}
	b.Fails("already exists", "create", "--bundle", b.Bundle, r.ID)
	if l := b.Do("list"); l.Status != 0 || strings.Contains(l.Stdout, r.ID) || !strings.Contains(l.Stderr, r.ID) {
		t.Errorf("list: %+v", l)
	}
	if s := r.State(); s.Pid != pid || s.Status != specs.StateRunning {
		t.Errorf("runc's container is now %+v", s)
	}
	b.Root = other
	r.OK("delete", "--force", r.ID)
}

// missing lists what runc has and orlop does not.
func missing() []string { return []string{"checkpoint", "restore", "--criu"} }

// TestFlagsOfRunc: each command and flag of runc exists, except for those that the page lists.
func TestFlagsOfRunc(t *testing.T) {
	b, r := harness.New(t), beside(t)
	flag := regexp.MustCompile(`(?m)^   (--[^ \n]+(?:, -\w)?(?: value, -\w)?)`)
	name := regexp.MustCompile(`--?\w[\w-]*`)
	compare := func(command string, theirs, ours string) {
		var flags []string
		for _, m := range flag.FindAllStringSubmatch(theirs, -1) {
			flags = append(flags, name.FindAllString(m[1], -1)...)
		}
		if len(flags) == 0 {
			t.Errorf("%s: no flags in %q", command, theirs)
		}
		words := strings.FieldsFunc(ours, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' })
		for _, f := range flags {
			if !slices.Contains(words, f) && !slices.Contains(missing(), f) {
				t.Errorf("%s has no %s", command, f)
			}
		}
	}
	theirs := r.OK("--help")
	compare("orlop", theirs, b.OK("--help"))
	_, list, _ := strings.Cut(theirs, "\nCOMMANDS:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	commands := 0
	for line := range strings.Lines(list) {
		command := strings.Trim(strings.Fields(line)[0], ",")
		if command == "help" || slices.Contains(missing(), command) {
			continue
		}
		commands++
		help := r.OK(command, "--help")
		if strings.Contains(help, "\nOPTIONS:\n") {
			compare(command, help, b.OK(command, "--help"))
		} else {
			b.OK(command, "--help")
		}
	}
	if commands < 14 {
		t.Errorf("%d commands in %q", commands, theirs)
	}
}

// TestFlagsAreTold: the page has a row for each command, with each of its flags.
func TestFlagsAreTold(t *testing.T) {
	harness.OrlopOnly(t, "the page is orlop's")
	_, page, _ := strings.Cut(pageFromRunc(t), "\n## Commands and flags\n")
	b := harness.New(t)
	words := func(line string) string { command, _, _ := strings.Cut(line, "\t"); return command }
	for line := range strings.Lines(b.OK("completion", "words")) {
		command := words(line)
		if command == "help" {
			continue
		}
		_, row, found := strings.Cut(page, "\n| `"+command+"`")
		row, _, _ = strings.Cut(row, "\n")
		if !found {
			t.Errorf("%s has no row for %s", fromRunc, command)
		}
		for flag := range strings.Lines(b.OK("completion", "words", command, "-")) {
			if flag := words(flag); flag != "--help" && !strings.Contains(row, "`"+flag+"`") {
				t.Errorf("%s: the row for %s has no `%s`", fromRunc, command, flag)
			}
		}
	}
}
