package libcontainer_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

// makeBundle makes a bundle whose root filesystem holds busybox and nothing else. The examples need
// root and busybox.
func makeBundle(change func(*specs.Spec), more ...func(dir string, s *specs.Spec)) string {
	dir, err := os.MkdirTemp("", "orlop-example-")
	if err != nil {
		log.Fatal(err)
	}
	bin := filepath.Join(dir, "rootfs", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		log.Fatal(err)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		log.Fatal(err)
	}
	if out, err := exec.Command("cp", busybox, filepath.Join(bin, "busybox")).CombinedOutput(); err != nil {
		log.Fatalf("%v: %s", err, out)
	}
	if err := os.Symlink("busybox", filepath.Join(bin, "sh")); err != nil {
		log.Fatal(err)
	}
	spec := specconv.Example()
	spec.Process.Terminal = false
	spec.Linux.CgroupsPath = "/" + filepath.Base(dir)
	change(spec)
	for _, change := range more {
		change(dir, spec)
	}
	config, err := json.Marshal(spec)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, specconv.ConfigName), config, 0o644); err != nil {
		log.Fatal(err)
	}
	return dir
}

// TestPackageComment: the program that the package comment shows is that of the example, which
// compiles.
func TestPackageComment(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "runtime.go", nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(example), "\nfunc ExampleRuntime_Create() {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	calls := 0
	for line := range strings.Lines(file.Doc.Text()) {
		if call, indented := strings.CutPrefix(line, "\t"); indented {
			calls++
			if call = strings.TrimPrefix(strings.TrimSpace(call), "err = "); !strings.Contains(body, call) {
				t.Errorf("the example has no %q", call)
			}
		}
	}
	if calls < 6 {
		t.Errorf("the package comment shows %d calls", calls)
	}
}

// A program creates a container, starts it, waits for its end, and deletes it.
func ExampleRuntime_Create() {
	dir := makeBundle(func(s *specs.Spec) {
		s.Process.Args = []string{"sh", "-c", "echo hello from $(busybox hostname); exit 3"}
	})
	defer os.RemoveAll(dir)

	bundle, err := specconv.Load(dir)
	if err != nil {
		log.Fatal(err)
	}
	root := filepath.Join(dir, "state")
	rt := &libcontainer.Runtime{Root: root}
	c, err := rt.Create("web", bundle, libcontainer.CreateOptions{
		Streams: libcontainer.Streams{Stdout: os.Stdout, Stderr: os.Stderr},
	})
	if err != nil {
		log.Fatal(err)
	}
	status, err := c.Status()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Status)
	if err := c.Start(); err != nil {
		log.Fatal(err)
	}
	code, err := c.Process().Wait()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit status", code)
	if err := c.Delete(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// created
	// hello from orlop
	// exit status 3
}

// A program executes a process in an existing container, whichever program created it.
func ExampleContainer_Exec() {
	dir := makeBundle(func(s *specs.Spec) { s.Process.Args = []string{"busybox", "sleep", "1000"} })
	defer os.RemoveAll(dir)

	bundle, err := specconv.Load(dir)
	if err != nil {
		log.Fatal(err)
	}
	rt := &libcontainer.Runtime{Root: filepath.Join(dir, "state")}
	made, err := rt.Run("db", bundle, libcontainer.CreateOptions{})
	if err != nil {
		log.Fatal(err)
	}

	c, err := rt.Load("db")
	if err != nil {
		log.Fatal(err)
	}
	process, err := c.Config()
	if err != nil {
		log.Fatal(err)
	}
	process.Args = []string{"sh", "-c", "echo I am process $$ of $(busybox hostname)"}
	p, err := c.Exec(process, libcontainer.ExecOptions{Streams: libcontainer.Streams{Stdout: os.Stdout}})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Wait(); err != nil {
		log.Fatal(err)
	}

	if err := c.Kill(unix.SIGKILL); err != nil {
		log.Fatal(err)
	}
	code, err := made.Process().Wait()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit status", code)
	if err := c.Delete(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// I am process 2 of orlop
	// exit status 137
}
