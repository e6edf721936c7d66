package nsenter

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/emulated"
)

// The arm64 interpreter is compared with the reference interpreter under qemu's emulation of arm64
// processes. The test binary, built for arm64, writes images of random programs and the results of
// the reference interpreter; then each image is run.

// imagesEnv makes the test binary write images to the directory that it names, and exit.
const imagesEnv = "ORLOP_TEST_IMAGES"

const arm64Programs = 150

func writeImages(dir string) error {
	for n := range arm64Programs {
		c := choices(seeded(n))
		o, image, err := runProgram(randomProgram(&c))
		if err != nil {
			return fmt.Errorf("program %d: %w", n, err)
		}
		var expected bytes.Buffer
		if err := gob.NewEncoder(&expected).Encode(o); err != nil {
			return err
		}
		base := filepath.Join(dir, strconv.Itoa(n))
		if err := os.WriteFile(base+".image", image.Bytes(), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(base+".expected", expected.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func TestARM64(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("TestInterpreters does this on arm64 itself")
	}
	dir := t.TempDir()
	binary, qemu := emulated.TestBinary(t, "arm64")
	write := exec.Command(qemu, binary)
	write.Env = append(os.Environ(), imagesEnv+"="+dir)
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("write images under qemu: %v\n%s", err, out)
	}
	for n := range arm64Programs {
		base := filepath.Join(dir, strconv.Itoa(n))
		data, err := os.ReadFile(base + ".expected")
		if err != nil {
			t.Fatal(err)
		}
		var want observation
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&want); err != nil {
			t.Fatal(err)
		}
		got, err := runEmulated(qemu, base+".image")
		if err != nil {
			t.Fatal(err)
		}
		if d := want.diff(got); d != "" {
			// The same programs as for this architecture, except for the numbers of calls.
			c := choices(seeded(n))
			t.Fatalf("program %d: reference and arm64 image differ: %s\n%s", n, d, listing(randomProgram(&c)))
		}
	}
}

// runEmulated runs an image file for arm64 with the descriptors that Prepare would give it.
func runEmulated(qemu, path string) (*observation, error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	defer w.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "channel"), os.NewFile(uintptr(pair[1]), "channel")
	defer ours.Close()
	defer theirs.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	image, err := (&Image{text: content}).seal() // as one piece
	if err != nil {
		return nil, err
	}
	defer image.Close()

	cmd := exec.Command(qemu, path)
	cmd.ExtraFiles = []*os.File{theirs}
	for _, f := range w.files() {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f.File)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, image)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	theirs.Close()
	o := &observation{Messages: receiveAll(ours)}
	cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if o.Status = status.ExitStatus(); status.Signaled() {
		o.Status = -int(status.Signal())
	}
	return o, w.observe(o)
}
