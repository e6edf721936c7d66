package cgroups

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/golden"
)

// describe formats settings, one per line: value, file, field and flags.
func describe(list []setting, err error) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s.controller + " " + s.file + "=" + strings.ReplaceAll(s.value, "\n", `\n`))
		if s.otherFile != "" {
			b.WriteString(" or " + s.otherFile + "=" + s.otherValue)
		}
		b.WriteString(" <- " + strings.TrimPrefix(s.field, "linux.resources."))
		for _, x := range []struct {
			is   bool
			name string
		}{{s.again, "again"}, {s.optional, "optional"}, {s.unified, "unified"}} {
			if x.is {
				b.WriteString(" " + x.name)
			}
		}
		b.WriteByte('\n')
	}
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

// TestSettings: the settings for resources in both versions. NAME.json has linux.resources.
func TestSettings(t *testing.T) {
	inputs, err := filepath.Glob("testdata/settings/*.json")
	if err != nil || len(inputs) == 0 {
		t.Fatal("no inputs", err)
	}
	for _, input := range inputs {
		name := strings.TrimSuffix(filepath.Base(input), ".json")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			var r specs.LinuxResources
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, v := range []version{v1, v2} {
				at := func(string) version { return v }
				created := describe(settings(&r, at, false))
				b.WriteString("-- cgroup v" + itoa(int64(v)) + " --\n" + created)
				if live := describe(settings(&r, at, true)); live != created {
					b.WriteString("-- cgroup v" + itoa(int64(v)) + ", changed while it lives --\n" + live)
				}
			}
			golden.Check(t, "settings/"+name+".golden", b.String())
		})
	}
}
