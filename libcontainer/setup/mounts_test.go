package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

func bind(source, destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: append([]string{"bind"}, options...)}
}

func tmpfs(destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "tmpfs", Source: "tmpfs", Options: options}
}

// add appends a mount.
func (tr *trial) add(m specs.Mount) { tr.spec.Mounts = append(tr.spec.Mounts, m) }

// files marks the sources of the bind mounts that are files, as the runtime does.
func (tr *trial) files() {
	tr.facts.SourceIsFile = make([]bool, len(tr.spec.Mounts))
	for i, m := range tr.spec.Mounts {
		if info, err := os.Stat(m.Source); err == nil && m.Type == "bind" {
			tr.facts.SourceIsFile[i] = !info.IsDir()
		}
	}
}

func TestBind(t *testing.T) {
	tr := newTrial(t, `cat /deep/er/file /vol/x; touch /vol/new && echo written; touch /ro/new || echo refused; touch /deep/er/file || echo refused
		grep -E ' /(ro|vol|deep/er/file) ' /proc/self/mountinfo`)
	// The filesystem of the temporary directory would have the host's options.
	vol := filepath.Join(privateMounts(t), "sub")
	if err := os.WriteFile(filepath.Join(vol, "x"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tr.add(bind(filepath.Join(vol, "x"), "/deep/er/file", "ro"))
	tr.add(bind(vol, "/vol", "nosuid", "noatime"))
	tr.add(bind(vol, "/ro", "ro"))
	tr.spec.Root.Readonly = true
	tr.files()
	out := tr.out()
	if !strings.HasPrefix(out, "content\ncontent\nwritten\n") || strings.Count(out, "refused") != 2 {
		t.Errorf("output:\n%s", out)
	}
	contains(t, out, " /vol rw,nosuid,noatime ", " /ro ro,relatime ", " /deep/er/file ro,relatime ")
	if _, err := os.Stat(filepath.Join(vol, "new")); err != nil {
		t.Error(err)
	}
}

// TestRecursive: rro applies to submounts of the source, and ro does not.
func TestRecursive(t *testing.T) {
	tr := newTrial(t, `touch /rro/sub/x || echo refused; touch /ro/sub/x && echo written; cat /plain/sub/x || echo hidden`)
	vol := privateMounts(t)
	tr.add(specs.Mount{Destination: "/rro", Type: "bind", Source: vol, Options: []string{"rbind", "rro"}})
	tr.add(specs.Mount{Destination: "/ro", Type: "bind", Source: vol, Options: []string{"rbind", "ro"}})
	tr.add(bind(vol, "/plain"))
	out := tr.out()
	contains(t, out, "refused\nwritten\n", "hidden")
}

// privateMounts moves the test's thread to a mount namespace of its own and returns a directory
// with a tmpfs on its subdirectory "sub".
func privateMounts(t *testing.T) string {
	t.Helper()
	lockNamespace(t)
	vol := t.TempDir()
	if err := os.Mkdir(filepath.Join(vol, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", filepath.Join(vol, "sub"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(filepath.Join(vol, "sub"), unix.MNT_DETACH) })
	return vol
}

func TestLinks(t *testing.T) {
	outside := t.TempDir()
	cases := []struct {
		name, link, to, destination string
		want                        string // "" for an error
	}{
		{"to a directory in the root", "link", "/real", "/link/x", "/real/x"},
		{"relative", "real/link", "../other", "/real/link/x", "/other/x"},
		{"absolute, out", "link", outside, "/link/x", outside + "/x"},
		{"upwards, out", "link", "../../../../../../../..", "/link/x", "/x"},
		{"nowhere", "link", "/nowhere", "/link", ""},
		{"magic", "link", "/proc/self/root", "/link", ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTrial(t, `cut -d' ' -f5 /proc/self/mountinfo`)
			tr.spec.Process.Args = []string{"/bin/busybox", "cut", "-d ", "-f5", "/proc/self/mountinfo"}
			for _, dir := range []string{"real", "other", outside} {
				if err := os.MkdirAll(tr.path(dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(tc.to, tr.path(tc.link)); err != nil {
				t.Fatal(err)
			}
			tr.add(tmpfs(tc.destination))
			out, err := tr.run()
			if tc.want == "" {
				if err == nil {
					t.Errorf("no error; output:\n%s", out)
				}
			} else if err != nil {
				t.Error(err)
			} else {
				contains(t, out, "\n"+tc.want+"\n")
			}
			if list, err := os.ReadDir(outside); err != nil || len(list) != 0 {
				t.Errorf("outside holds %v, %v", list, err)
			}
		})
	}
}

// TestProcIsLink: CVE-2019-19921, CVE-2023-27561.
func TestProcIsLink(t *testing.T) {
	for _, name := range []string{"proc", "sys"} {
		tr := newTrial(t, "true")
		if err := os.Symlink("/tmp", tr.path(name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(tr.path("tmp"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := tr.run()
		if !errors.Is(err, unix.ELOOP) {
			t.Errorf("/%s is a link: %v", name, err)
		}
	}
}

// TestLinkIntoProc: no link of the image leads a mount onto the procfs (CVE-2019-16884), even when
// the procfs is listed, and so mounted, first.
func TestLinkIntoProc(t *testing.T) {
	vol := t.TempDir()
	cases := []struct {
		name, link, to string
		mount          specs.Mount
		refused        bool
	}{
		{"tmpfs on sys", "foo", "/proc/sys", tmpfs("/foo"), true},
		{"relative", "foo", "proc/self/attr", tmpfs("/foo"), true},
		{"bind", "foo", "/proc/sys", bind(vol, "/foo"), true},
		{"bind of a file", "foo", "/proc/self/attr/exec", bind("/etc/passwd", "/foo"), true},
		{"proc itself", "foo", "/proc", tmpfs("/foo"), true},
		{"cgroups", "foo", "/proc/fs", specs.Mount{Destination: "/foo", Type: "cgroup"}, true},
		{"remount", "foo", "/proc", tmpfs("/foo", "remount", "noexec"), true},
		{"copied", "foo", "/proc/sys", tmpfs("/foo", "tmpcopyup"), true},
		{"directory of a path", "foo", "/proc", tmpfs("/foo/sys"), true},
		{"through a link that must be made", "foo", "/proc/self/attr", tmpfs("/foo/new"), true},
		{"ordinary directory", "foo", "/tmp", tmpfs("/foo"), false},
		{"part of an ordinary path", "foo", "tmp", tmpfs("/foo/a/b"), false},
		{"bind to an ordinary directory", "foo", "/tmp", bind(vol, "/foo"), false},
		{"no link", "foo", "/proc", tmpfs("/tmp/a"), false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTrial(t, `cat /proc/self/mountinfo`)
			if err := os.Mkdir(tr.path("tmp"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(tc.to, tr.path(tc.link)); err != nil {
				t.Fatal(err)
			}
			tr.add(tc.mount)
			tr.files()
			out, err := tr.run()
			if !tc.refused {
				if err != nil {
					t.Fatal(err)
				}
				contains(t, out, " /tmp")
				return
			}
			if err == nil {
				t.Fatalf("no error; output:\n%s", out)
			}
			if tr.destinations != 1 && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) {
				t.Error(err)
			}
			t.Log(err)
		})
	}
}

// TestNoLinks: the process does not ask the runtime about a destination without links.
func TestNoLinks(t *testing.T) {
	tr := newTrial(t, `true`)
	tr.add(tmpfs("/a/b/c"))
	tr.add(tmpfs("/a/b/c"))
	tr.add(bind(t.TempDir(), "/d"))
	tr.add(bind("/etc/passwd", "/etc/passwd"))
	tr.add(bind("/etc/passwd", "/proc/cpuinfo"))
	tr.add(bind("/etc/passwd", "/proc/sys/kernel/ns_last_pid"))
	tr.files()
	tr.out()
	if tr.destinations != 0 {
		t.Errorf("asked %d times", tr.destinations)
	}
}

// TestMountOrder: the mounts are made in the listed order (config.md#mounts), the procfs too.
func TestMountOrder(t *testing.T) {
	tr := newTrial(t, `while read -r _ _ _ _ point _; do echo -n " $point"; done </proc/self/mountinfo`)
	tr.spec.Linux.MaskedPaths, tr.spec.Linux.ReadonlyPaths = nil, nil
	tr.spec.Mounts = []specs.Mount{
		{Destination: "/b", Type: "tmpfs"},
		{Destination: "/proc", Type: "proc"},
		bind("/etc/passwd", "/proc/cpuinfo"),
		{Destination: "/a", Type: "tmpfs"},
		{Destination: "/a/proc", Type: "proc"},
		{Destination: "/c", Type: "tmpfs"},
	}
	tr.files()
	if out := tr.out(); !strings.HasSuffix(out, " / /b /proc /proc/cpuinfo /a /a/proc /c") {
		t.Errorf("mountinfo lists%s", out)
	}
}

func TestTmpfsReadOnly(t *testing.T) {
	tr := newTrial(t, `touch /t/x || echo refused; cat /t/sub/x; touch /dev/x || echo refused; echo x >/dev/null; mount | grep -E ' /(t|dev) '`)
	tr.spec.Mounts[1].Options = append(tr.spec.Mounts[1].Options, "ro")
	vol := t.TempDir()
	if err := os.WriteFile(filepath.Join(vol, "x"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tr.add(tmpfs("/t", "ro", "mode=700"))
	tr.add(bind(vol, "/t/sub"))
	out := tr.out()
	contains(t, out, "refused\ncontent\n", "tmpfs on /t type tmpfs (ro,", "tmpfs on /dev type tmpfs (ro,nosuid,", "mode=700")
}

func TestRemount(t *testing.T) {
	tr := newTrial(t, `mount | grep -E ' /(a|b) '`)
	tr.add(tmpfs("/a", "size=64k"))
	tr.add(tmpfs("/a", "remount", "size=128k", "ro", "nosuid"))
	tr.add(bind(filepath.Join(privateMounts(t), "sub"), "/b"))
	tr.add(specs.Mount{Destination: "/b", Type: "bind", Source: "/b", Options: []string{"remount", "bind", "noexec"}})
	contains(t, tr.out(), "tmpfs on /a type tmpfs (ro,nosuid,relatime,size=128k", "tmpfs on /b type tmpfs (rw,noexec,")
	tr.add(tmpfs("/missing", "remount"))
	if _, err := tr.run(); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}

func TestTmpCopyUp(t *testing.T) {
	tr := newTrial(t, `cat /etc/a /etc/b; touch /etc/c; mount | grep ' /etc '`)
	tr.write("etc/a", "1\n")
	tr.add(tmpfs("/etc", "tmpcopyup", "ro", "size=64k"))
	var from *os.File
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		switch m.ID {
		case MessageCopyFrom:
			from, _ = os.Open("/proc/self/fd/" + strconv.Itoa(int(m.File.Fd())))
			return false
		case MessageCopyTo:
			names, err := from.Readdirnames(-1)
			if err != nil || len(names) != 1 || names[0] != "a" {
				t.Errorf("the image's directory has %q, %v", names, err)
			}
			from.Close()
			for _, name := range []string{"a", "b"} {
				fd, err := unix.Openat(int(m.File.Fd()), name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
				if err != nil {
					t.Error(err)
					continue
				}
				unix.Write(fd, []byte(name+"\n"))
				unix.Close(fd)
			}
		}
		return true
	}
	out := tr.out()
	contains(t, out, "a\nb\n", "Read-only", "tmpfs on /etc type tmpfs (ro,relatime,size=64k")
	if _, err := os.Stat(tr.path("etc/b")); err == nil {
		t.Error("the image was written to")
	}
}

func TestOverlay(t *testing.T) {
	tr := newTrial(t, `cat /merged/a /merged/b; touch /merged/c`)
	lower, upper := t.TempDir(), t.TempDir()
	// Overlay refuses an overlay or tmpfs for some layers, but any filesystem can hold read-only
	// layers.
	for dir, name := range map[string]string{lower: "a", upper: "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tr.add(specs.Mount{Destination: "/merged", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + lower + ":" + upper}})
	out, err := tr.run()
	var step *StepError
	if errors.As(err, &step) && step.Call == "fsopen" {
		t.Skip("no overlay: ", err)
	}
	if err == nil || !strings.Contains(out, "Read-only") {
		t.Errorf("%v, output:\n%s", err, out)
	}
	contains(t, out, "a\nb\n")
}

// TestManyMounts has more mounts than descriptors may be open, and paths with more components than
// there are registers.
func TestManyMounts(t *testing.T) {
	tr := newTrial(t, `grep -c m /proc/self/mountinfo; mount | grep -c ' /m'`)
	for i := range 300 {
		tr.add(tmpfs("/m" + strconv.Itoa(i)))
	}
	tr.add(tmpfs("/m" + strings.Repeat("/x", 400)))
	for i := range 100 {
		tr.add(tmpfs("/m"+strings.Repeat("/y", i+1), "ro"))
	}
	out := tr.out()
	contains(t, out, "\n401\n")
}

func TestMountErrors(t *testing.T) {
	cases := []struct {
		mount specs.Mount
		want  string
	}{
		{bind("/nonexistent/source", "/x"), "mounts[7]: bind /nonexistent/source on /x, bind: open_tree: no such file or directory"},
		{specs.Mount{Destination: "/x", Type: "nosuchfs"}, "mounts[7]: mount nosuchfs on /x: fsopen: no such device"},
		{tmpfs("/x", "size=wrong"), "mounts[7]: mount tmpfs on /x, size=wrong: option \"size=wrong\": fsconfig: invalid argument"},
		{tmpfs("/x", "size=1k", "nosuch", "mode=700"), `mounts[7]: mount tmpfs on /x, size=1k,nosuch,mode=700: option "nosuch": fsconfig: invalid argument`},
		{tmpfs("/bin/busybox/x"), "mounts[7]: mount tmpfs on /bin/busybox/x: openat2: not a directory"},
		{tmpfs("/x", "size="+strings.Repeat("1", 4091)), "mounts[7].options: longer than 4095 bytes in total"},
		{tmpfs("/x", "remount", "size="+strings.Repeat("1", 300)), "mounts[7].options: one is longer than 255 bytes, which a remount does not support"},
		{tmpfs("/x", "=1"), `mounts[7].options: "=1": has no name`},
	}
	for _, tc := range cases {
		tr := newTrial(t, "true")
		tr.add(tc.mount)
		out, err := tr.run()
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("got %v, want %s\n%s", err, tc.want, out)
		}
	}
}

// TestReadOnlyLater: the mount that was made becomes read-only in the end, not what is at its path
// by then.
func TestReadOnlyLater(t *testing.T) {
	tr := newTrial(t, `touch /dev/x || echo refused`)
	dev := t.TempDir()
	for i := range tr.spec.Mounts {
		if tr.spec.Mounts[i].Destination == "/dev" {
			tr.spec.Mounts[i] = specs.Mount{Destination: "/dev", Type: "bind", Source: dev, Options: []string{"rbind", "ro"}}
		}
	}
	tr.add(tmpfs("/scratch", "ro"))
	plan, err := Container(tr.bundle(), tr.options, tr.facts)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, c := range plan.lower().calls {
		if !is[readOnlyLater](plan.Steps[c.step]) {
			continue
		}
		steps++
		if c.way == wayOpenat2 {
			t.Errorf("%s: walks %q", plan.Steps[c.step], c.path)
		}
	}
	if steps < 2 {
		t.Errorf("%d calls make mounts read-only", steps)
	}
	contains(t, tr.out(), "refused")
}
