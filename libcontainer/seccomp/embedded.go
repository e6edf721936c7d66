//go:build seccomp && !cgo

package seccomp

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/timeout"
)

// Available reports whether this build has a compiler.
const Available = true

// The compiler, and the version of its libseccomp. `make build` puts them here.
var (
	//go:embed compiler.elf
	compiler string
	//go:embed compiler.version
	version string
)

func compilerVersion() (string, error) { return Version(), nil }

// Version returns the version of libseccomp, "2.5.4".
func Version() string { return strings.TrimSpace(version) }

// compile runs the compiler: a program from a memfd, which reads the profile and writes the filter.
func compile(profile *specs.LinuxSeccomp) ([]byte, error) {
	input, err := json.Marshal(profile)
	if err != nil {
		return nil, err
	}
	program, err := runCompiler(compiler, input, compilerLimit)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	status, text, _ := strings.Cut(program, "\n")
	if status != "ok" {
		path, problem, _ := strings.Cut(text, "\n")
		return nil, &Error{path, errors.New(strings.TrimSpace(problem))}
	}
	if len(text) == 0 || len(text)%8 != 0 || len(text) > maxProgram {
		return nil, fmt.Errorf("compile: a program of %d bytes", len(text))
	}
	return []byte(text), nil
}

// compilerLimit is the timeout of the compiler, which needs a fraction of a second for the largest
// profiles.
const compilerLimit = time.Minute

// runCompiler runs a program and returns its output. Its input and output are files, so no
// goroutine has to serve them.
func runCompiler(program string, input []byte, limit time.Duration) (string, error) {
	var files [3]*os.File
	for i, content := range []string{program, string(input), ""} {
		fd, err := unix.MemfdCreate("seccomp", unix.MFD_CLOEXEC)
		if err != nil {
			return "", fmt.Errorf("memfd_create: %w", err)
		}
		files[i] = os.NewFile(uintptr(fd), "memfd")
		defer files[i].Close()
		if _, err := files[i].WriteAt([]byte(content), 0); err != nil {
			return "", err
		}
	}
	path := fmt.Sprintf("/proc/self/fd/%d", files[0].Fd())
	process, err := os.StartProcess(path, []string{"seccomp-compiler"}, &os.ProcAttr{Env: []string{}, Files: []*os.File{files[1], files[2], files[2]}})
	if err != nil {
		return "", err
	}
	late := time.AfterFunc(limit, func() { _ = process.Kill() })
	state, err := process.Wait()
	if err != nil {
		return "", err
	}
	if !late.Stop() {
		return "", timeout.Errorf("the compiler has not ended within %v, and was killed", limit)
	}
	if _, err := files[2].Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	output, err := io.ReadAll(files[2])
	if err == nil && !state.Success() {
		err = fmt.Errorf("%s: %s", state, strings.TrimSpace(string(output)))
	}
	return string(output), err
}
