package nsenter

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(imagesEnv); dir != "" {
		if err := writeImages(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	before := openDescriptors()
	code := m.Run()
	if code == 0 && !fuzzing() {
		for fd, name := range openDescriptors() {
			if before[fd] != name {
				fmt.Fprintf(os.Stderr, "descriptor %s (%s) is left open\n", fd, name)
				code = 1
			}
		}
	}
	os.Exit(code)
}

func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

// openDescriptors lists the open descriptors, except those that Go's poller opens once.
func openDescriptors() map[string]string {
	open := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		name, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(name, "anon_inode:[event") {
			open[e.Name()] = name
		}
	}
	return open
}
