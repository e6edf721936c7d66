package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/console"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// A shell in which a user types.
type shell struct {
	title, name string
	args        []string // without the caller's own settings
	// load is the command that loads the script FILE; without one, it is installed as
	// DIRECTORY/_orlop.
	load string
}

func shells() []shell {
	return []shell{
		{"bash", "bash", []string{"--norc", "--noprofile", "-i"}, ". FILE"},
		{"zsh", "zsh", []string{"-f", "-i"}, "autoload -Uz compinit && compinit -D; . FILE"},
		{"zsh, installed", "zsh", []string{"-f", "-i"}, "fpath=(DIRECTORY $fpath); autoload -Uz compinit && compinit -u -D"},
		{"fish", "fish", []string{"--no-config", "-i"}, ". FILE"},
	}
}

// TestCompletion types lines with a tab into each shell: `orlop kill TAB` completes the one
// container that can be killed.
func TestCompletion(t *testing.T) {
	harness.OrlopOnly(t, "the scripts are orlop's")
	b := harness.New(t, harness.Sh("sleep 1000"))
	b.Create()
	other := harness.New(t, harness.Sh("sleep 1000"))
	other.Root, other.ID = b.Root, "up"
	other.Up()
	bin := filepath.Join(b.Dir, "bin")
	must(t, os.Mkdir(bin, 0o755))
	must(t, os.Symlink(harness.Runtime(), filepath.Join(bin, "orlop")))
	must(t, os.MkdirAll(filepath.Join(b.Dir, "work", "a directory"), 0o755))
	must(t, os.WriteFile(filepath.Join(b.Dir, "work", "afile.json"), nil, 0o644))
	root := "orlop --root " + b.Root + " "
	for _, s := range shells() {
		t.Run(s.title, func(t *testing.T) {
			path, err := exec.LookPath(s.name)
			if err != nil {
				t.Skip("needs " + s.name)
			}
			script := filepath.Join(t.TempDir(), "_orlop")
			must(t, os.WriteFile(script, []byte(b.OK("completion", s.name)), 0o644))
			session := newSession(t, b, path, s, script, bin)
			for line, want := range map[string][]string{
				"orlop sp":                           {"orlop", "spec"},
				"orlop create --pidfd":               {"orlop", "create", "--pidfd-socket"},
				"orlop --log-format j":               {"orlop", "--log-format", "json"},
				"orlop --log-format=j":               {"orlop", "--log-format=json"},
				"orlop --log-format=text --cgroup-m": {"orlop", "--log-format=text", "--cgroup-manager"},
				"orlop exec --cap CAP_SYS_PT":        {"orlop", "exec", "--cap", "CAP_SYS_PTRACE"},
				"orlop exec -u 1:2 --cap CAP_SYS_PT": {"orlop", "exec", "-u", "1:2", "--cap", "CAP_SYS_PTRACE"},
				"orlop kill box SIGUSR":              {"orlop", "kill", "box", "SIGUSR"}, // 1 or 2
				"orlop kill box SIGTE":               {"orlop", "kill", "box", "SIGTERM"},
				"orlop update --resources af":        {"orlop", "update", "--resources", "afile.json"},
				"orlop update --resources=af":        {"orlop", "update", "--resources=afile.json"},
				"orlop create --bundle a":            {"orlop", "create", "--bundle", "a directory"},
				root + "start ":                      {"start", b.ID},
				root + "exec ":                       {"exec", "up"},
				// --fo may be a flag of the program in the container.
				root + "exec up --fo":                   {"exec", "up", "--fo"},
				root + "--debug delete --force u":       {"--debug", "delete", "--force", "up"},
				root + "delete u":                       {"delete", "u"}, // it runs
				root + "pause --help":                   {"pause", "--help"},
				root + "stats up " + b.ID[:len(b.ID)-1]: {"stats", "up", b.ID},
			} {
				got := session.complete(line)
				if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
					t.Errorf("%q: got %q, want %q", line, got, want)
				}
			}
		})
	}
}

// session is a shell on a terminal.
type session struct {
	t      *testing.T
	tty    console.Console
	output chan []byte
	seen   []byte
}

func newSession(t *testing.T, b *harness.Box, path string, s shell, script, bin string) *session {
	t.Helper()
	tty, name, err := console.NewPty()
	must(t, err)
	t.Cleanup(func() { tty.Close() })
	must(t, tty.Resize(console.WinSize{Width: 400, Height: 50}))
	slave, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	defer slave.Close()
	cmd := exec.Command(path, s.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.Dir = filepath.Join(b.Dir, "work")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + b.Dir, "TERM=dumb"}
	must(t, harness.StartOther(cmd))
	t.Cleanup(func() {
		must(t, cmd.Process.Kill())
		_ = harness.WaitOther(cmd) // it was killed
	})
	ses := &session{t: t, tty: tty, output: make(chan []byte, 16)}
	go func() {
		defer close(ses.output)
		for {
			buf := make([]byte, 4096)
			n, err := tty.Read(buf)
			if n > 0 {
				ses.output <- buf[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	load := strings.NewReplacer("FILE", script, "DIRECTORY", filepath.Dir(script)).Replace(s.load)
	ses.write(load + "; printf '<%s>' ready\r")
	ses.await("<ready>")
	return ses
}

func (s *session) write(text string) {
	s.t.Helper()
	if _, err := s.tty.Write([]byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// await reads the shell's output up to a text, and returns what came before.
func (s *session) await(text string) string {
	s.t.Helper()
	limit := time.After(hang.Limit)
	for {
		if before, after, ok := bytes.Cut(s.seen, []byte(text)); ok {
			s.seen = after
			return string(before)
		}
		select {
		case more, ok := <-s.output:
			if !ok {
				s.t.Fatalf("the shell has ended, before %q: %q", text, s.seen)
			}
			s.seen = append(s.seen, more...)
		case <-limit:
			s.t.Fatalf("no %q: %q", text, s.seen)
		}
	}
}

// complete types a line and a tab, puts a command that prints its words in front of it, and returns
// these.
func (s *session) complete(line string) []string {
	s.t.Helper()
	// ^A and ^E move to the beginning and the end of the line.
	s.write(line + "\t\x01printf '<%s>' begin \x05 end\r")
	s.await("<begin>")
	words := strings.TrimSuffix(s.await("<end>"), ">")
	if words == "" {
		return nil
	}
	// zsh removes the slash after a directory again if no more of the path follows.
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(words, "<"), "/"), "><")
}
