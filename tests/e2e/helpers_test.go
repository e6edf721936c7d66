package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// passFile makes the named pipe "said" in the box's directory the stream's other end, for hooks,
// which have no descriptors of the caller.
func passFile(b *harness.Box, lines *harness.Lines) error {
	path := filepath.Join(b.Dir, "said")
	if err := unix.Mkfifo(path, 0o666); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	go func() {
		defer f.Close()
		buf := make([]byte, 4096)
		n, err := f.Read(buf)
		if err == nil {
			lines.Writer.Write(buf[:n])
		}
	}()
	return nil
}

// childOf waits until a process has a child that executes a program of this name, and returns its
// PID.
func childOf(t *testing.T, parent int, name string) int {
	t.Helper()
	deadline := time.Now().Add(hang.Limit)
	for time.Now().Before(deadline) {
		tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(parent) + "/task/*/children")
		for _, task := range tasks {
			data, _ := os.ReadFile(task)
			for _, child := range strings.Fields(string(data)) {
				comm, _ := os.ReadFile("/proc/" + child + "/comm")
				if strings.TrimSpace(string(comm)) == name {
					pid, err := strconv.Atoi(child)
					if err != nil {
						t.Fatal(err)
					}
					return pid
				}
			}
		}
		time.Sleep(5 * time.Millisecond) // no event reports another process's exec
	}
	t.Fatalf("process %d has no child %s", parent, name)
	return 0
}
