package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// record is the result of one test.
type record struct {
	Package string  `json:"package"` // with "guest " before it where it ran in the guest
	Test    string  `json:"test"`
	Outcome outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // why it was skipped
}

// top is the test that has this one as a subtest, or the test itself.
func (r record) top() string {
	top, _, _ := strings.Cut(r.Test, "/")
	return top
}

// write writes the results of the tests. The file keeps the results of others: tests may run here
// and in the guest, and one by one.
func (c *counter) write(file string) error {
	var all []record
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &all)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(old record) bool {
		return slices.ContainsFunc(c.ended, func(r record) bool { return r.Package == old.Package && r.top() == old.top() })
	})
	if data, err = json.MarshalIndent(append(all, c.ended...), "", "\t"); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
