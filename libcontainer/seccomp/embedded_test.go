//go:build seccomp && !cgo

package seccomp

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain is also a compiler that hangs: see TestCompilerThatHangs.
func TestMain(m *testing.M) {
	if os.Args[0] == "seccomp-compiler" {
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func TestCompilerThatHangs(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	_, err = runCompiler(string(self), []byte("{}"), 50*time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "the compiler has not ended within 50ms, and was killed") {
		t.Errorf("got %v", err)
	}
}
