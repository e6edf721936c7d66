package host

import (
	"os"
	"strconv"
	"strings"
)

// text returns the content of a kernel file without the final newline, "" if it cannot be read.
func (a *asking) text(path string) string {
	data, err := os.ReadFile(a.root + path)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(data), "\n")
}

// number reads a kernel file that holds a number.
func (a *asking) number(path string) (uint64, error) {
	data, err := os.ReadFile(a.root + path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

func (a *asking) exists(path string) bool {
	_, err := os.Stat(a.root + path)
	return err == nil
}
