package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// record tells how one test ended.
type record struct {
	Package string  `json:"package"` // with "guest " before it where it ran in the guest
	Test    string  `json:"test"`
	Outcome outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // why it was skipped
}

// write writes how each test ended. What the file has of other packages stays: here and in the guest tests may run one after the other.
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
		return slices.ContainsFunc(c.ended, func(r record) bool { return r.Package == old.Package })
	})
	if data, err = json.MarshalIndent(append(all, c.ended...), "", "\t"); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
