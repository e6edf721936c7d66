// Package engines tests the runtime under the engines that people use, as their users call them: containerd with ctr
// and through its CRI service, Docker, Podman (root's and an ordinary user's), Buildah.
//
// The engines are Debian's: those that are installed, or else those that ./unpack gets. They run in mount and network
// namespaces of the tests, in which /etc, /run and /var are the tests' own, the runtime under test lies at
// /usr/local/sbin/orlop, and the configurations are those of contrib as they are. Each engine is started by the
// test that is about it, and stopped at its end; then nothing of its containers may be left.
//
// RUNTIME=runc puts another runtime into orlop's place: the same table must hold for it.
package engines

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

const (
	// groundEnv is the folder that the first process made for the second one, in which the tests run (see ground).
	groundEnv = "ORLOP_ENGINES_GROUND"
	// foundEnv is the folder in which unpack found the engines, "" where they are installed.
	foundEnv = "ORLOP_ENGINES"
	// lackEnv says why there are no engines.
	lackEnv = "ORLOP_ENGINES_LACK"
	// fullEnv asks for all of what a part is enough in `make test`.
	fullEnv = "ORLOP_ENGINES_FULL"
	// litterEnv has the second process leave something behind in place of running tests; see litter.
	litterEnv = "ORLOP_ENGINES_LITTER"
)

// full tells whether the tests have the time that they need.
func full() bool { return os.Getenv(fullEnv) != "" }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if os.Geteuid() != 0 || flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	if os.Getenv(groundEnv) == "" {
		if os.Getenv(litterEnv) == "" {
			if err := prepare(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		status, err := supervise()
		if err == nil {
			return status
		}
		fmt.Fprintln(os.Stderr, err)
		if !errors.Is(err, unix.EROFS) && !errors.Is(err, fs.ErrPermission) {
			return 1
		}
		// As in a container without rights.
		os.Setenv(lackEnv, "needs cgroups of its own: "+err.Error())
		return harness.Main(m)
	}
	if err := settle(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if how := os.Getenv(litterEnv); how != "" {
		return litter(how)
	}
	return harness.Main(m)
}

// prepare does what needs the network, which the tests don't have.
func prepare() error {
	found, err := find()
	var lack lackError
	if errors.As(err, &lack) {
		os.Setenv(lackEnv, lack.Error())
	} else if err != nil {
		return err
	}
	os.Setenv(foundEnv, found)
	// The runtime in orlop's place may be one of those that were found.
	if name := os.Getenv("RUNTIME"); name != "" && found != "" {
		for _, folder := range []string{"usr/sbin", "usr/bin"} {
			if path := filepath.Join(found, folder, name); exists(path) {
				os.Setenv("RUNTIME", path)
			}
		}
	}
	if os.Getenv("ORLOP") == "" && os.Getenv("RUNTIME") == "" { // it is then built by the second process
		cmd := exec.Command("go", "mod", "download")
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go mod download: %w\n%s", err, out)
		}
	}
	return nil
}

// settle makes the new namespaces of the second process such as a machine's are.
func settle() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w\n%s", err, out)
	}
	if onSystemd() {
		return nil
	}
	return mountCgroups(os.Getenv(groundEnv))
}

// lackError says why there are no engines to test with.
type lackError string

func (e lackError) Error() string { return string(e) }

// find returns the folder with the engines, or "" when all are installed.
func find() (string, error) {
	missing := false
	for _, name := range []string{"containerd", "ctr", "dockerd", "podman", "conmon", "runc", "iptables", "newuidmap", "slirp4netns", "catatonit"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = true
		}
	}
	if !missing {
		return "", nil
	}
	cmd := exec.Command("./unpack")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 77 || errors.Is(err, os.ErrNotExist) {
		return "", lackError("no engines: " + strings.TrimPrefix(lines[len(lines)-1], "engines: "))
	}
	if err != nil {
		return "", fmt.Errorf("./unpack: %w\n%s", err, &said)
	}
	return strings.TrimSpace(string(out)), nil
}
