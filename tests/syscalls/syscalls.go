// Package syscalls makes system calls and tells how each ended: a test's binary does so in a container, where a seccomp filter decides about
// them. The calls are such that the kernel refuses them for their arguments or that they change nothing, so that a call which passes the filter is
// told from one that does not by its error, and does no harm.
package syscalls

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// Env is the variable that makes a test's binary a prober: the kind of calls that it is to make.
const Env = "ORLOP_TEST_SYSCALLS"

// Kind is one of the processor's ways to make system calls.
type Kind string

const (
	Native Kind = "native"
	X86    Kind = "x86" // int 0x80, with the numbers of 32-bit programs
	X32    Kind = "x32" // the numbers of 64-bit programs with a bit set
)

// Want is what a call comes to under the profile.
type Want int

const (
	Allowed Want = iota // as without a profile
	Refused             // EPERM
	Absent              // ENOSYS: clone3, and calls that are newer than the profile
	// Newer is allowed, but not known to each libseccomp in use: to one that does not know it, it is newer than the profile.
	Newer
)

// Call is a system call with its arguments.
type Call struct {
	Name   string // with what matters in its arguments; unique among those of its kind
	Want   Want
	Number uintptr
	Args   [6]uintptr
}

// Calls returns the table of a kind, in which those that are Newer are sorted by number; there is none on other architectures than amd64.
func Calls(kind Kind) []Call { return calls(kind) }

// Main makes the calls of the kind that the environment names, and does not return then. It is to be called first in TestMain.
func Main() {
	kind := Kind(os.Getenv(Env))
	if kind == "" {
		return
	}
	runtime.LockOSThread() // some change the calling thread
	w := bufio.NewWriter(os.Stdout)
	for _, c := range calls(kind) {
		fmt.Fprintf(w, "%s\t%d\n", c.Name, uintptr(do(kind, c)))
	}
	if err := w.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Parse reads what Main wrote.
func Parse(r io.Reader) (map[string]syscall.Errno, error) {
	results := map[string]syscall.Errno{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		name, number, ok := strings.Cut(lines.Text(), "\t")
		var errno uintptr
		if _, err := fmt.Sscan(number, &errno); !ok || err != nil {
			return nil, fmt.Errorf("line %q: %v", lines.Text(), err)
		}
		results[name] = syscall.Errno(errno)
	}
	return results, nil
}
