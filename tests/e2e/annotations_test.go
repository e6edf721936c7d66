package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// annotated gives a container an annotation.
func annotated(name, value string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[name] = value
	}
}

// TestAnnotationsRefused: a container that requests a virtual machine or another filter does not
// run without it. Ignored annotations cause a warning.
func TestAnnotationsRefused(t *testing.T) {
	harness.OrlopOnly(t, "runc does not know crun's annotations")
	for _, name := range []string{"run.oci.handler", "krun.ram_mib", "module.wasm.image/variant", "run.oci.seccomp_bpf_data",
		"run.oci.seccomp_fail_unknown_syscall"} {
		b := harness.New(t, annotated(name, "krun"))
		b.Run().Fails(b, "annotations["+strconv.Quote(name)+"]: is not implemented: it ")
	}
	for field, change := range map[string]func(*specs.Spec){
		`annotations["run.oci.unheard"]`: annotated("run.oci.unheard", "of"),
		"process.user.username":          func(s *specs.Spec) { s.Process.User.Username = "who" },
	} {
		b := harness.New(t, change)
		r := b.Run()
		r.OK(b)
		if !strings.Contains(r.Stderr, field) {
			t.Errorf("standard error has no warning of %s: %q", field, r.Stderr)
		}
	}
	b := harness.New(t)
	b.Up()
	file := filepath.Join(b.Dir, "process.json")
	must(t, os.WriteFile(file, []byte(`{"args":["/bin/true"],"cwd":"/","user":{"uid":0,"gid":0,"username":"who"},"argz":1}`), 0o644))
	r := b.Do("exec", "--process", file, b.ID)
	r.OK(b)
	for _, field := range []string{"process.user.username", "process.argz"} {
		if !strings.Contains(r.Stderr, field) {
			t.Errorf("standard error of exec has no warning of %s: %q", field, r.Stderr)
		}
	}
}

// TestHookOutput: hooks of all kinds write to the files that annotations name; a relative path is
// relative to the bundle.
func TestHookOutput(t *testing.T) {
	harness.OrlopOnly(t, "runc does not know crun's annotations")
	hook := func(kind string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo out " + kind + "; echo err " + kind + " >&2"}}}
	}
	b := harness.New(t, harness.Args("true"), annotated("run.oci.hooks.stderr", "err"), func(s *specs.Spec) {
		s.Process.User.UID = 7
		s.Hooks = &specs.Hooks{CreateRuntime: hook("createRuntime"), CreateContainer: hook("createContainer"), StartContainer: hook("startContainer"),
			Poststart: hook("poststart"), Poststop: hook("poststop")}
	})
	out := filepath.Join(b.Dir, "out")
	must(t, os.WriteFile(out, []byte("before\n"), 0o600))
	annotated("run.oci.hooks.stdout", out)(b.Spec)
	b.Run().OK(b)
	const kinds = "X createRuntime\nX createContainer\nX startContainer\nX poststart\nX poststop\n"
	for path, want := range map[string]string{
		out:                            "before\n" + strings.ReplaceAll(kinds, "X", "out"),
		filepath.Join(b.Bundle, "err"): strings.ReplaceAll(kinds, "X", "err"),
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
		}
		var st unix.Stat_t
		if must(t, unix.Stat(path, &st)); st.Uid != 0 {
			t.Errorf("%s: belongs to user %d", path, st.Uid)
		}
	}

	fifo := filepath.Join(b.Dir, "fifo") // which nobody reads
	must(t, unix.Mkfifo(fifo, 0o600))
	b = harness.New(t, annotated("run.oci.hooks.stdout", fifo), func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: hook("x")} })
	b.Run().Fails(b, "hooks.createRuntime[0] /bin/sh: annotation run.oci.hooks.stdout: open "+fifo+": no such device or address")
}

// TestPidfdReceiver: an annotation's socket gets a pidfd of the container's process.
func TestPidfdReceiver(t *testing.T) {
	harness.OrlopOnly(t, "runc does not know crun's annotations")
	for _, args := range [][]string{{"run", "-d"}, {"create"}} {
		b := harness.New(t, harness.Args("sleep", "1000"))
		socket := filepath.Join(b.Dir, "socket")
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		must(t, err)
		annotated("run.oci.pidfd_receiver", socket)(b.Spec)
		b.Write()
		b.OK(append(args, "--bundle", b.Bundle, b.ID)...)
		conn, err := listener.AcceptUnix()
		must(t, err)
		data, rights := make([]byte, 100), make([]byte, 100)
		_, n, _, _, err := conn.ReadMsgUnix(data, rights)
		must(t, err)
		messages, err := unix.ParseSocketControlMessage(rights[:n])
		must(t, err)
		fds, err := unix.ParseUnixRights(&messages[0])
		must(t, err)
		info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fds[0]))
		must(t, err)
		if want := "Pid:\t" + strconv.Itoa(b.State().Pid) + "\n"; !strings.Contains(string(info), want) {
			t.Errorf("%v: got a descriptor with %q, want %q", args, info, want)
		}
		unix.Close(fds[0])
		conn.Close()
		listener.Close()
		b.OK("delete", "--force", b.ID)
	}
}
