package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

func TestList(t *testing.T) {
	b := harness.New(t)
	t.Run("empty", func(t *testing.T) {
		if out := b.OK("list", "--quiet"); out != "" {
			t.Errorf("-q of none: %q", out)
		}
		if fields := strings.Fields(b.OK("list")); strings.Join(fields, " ") != "ID PID STATUS BUNDLE CREATED OWNER" {
			t.Errorf("table of none: %q", fields)
		}
		if out := strings.TrimSpace(b.OK("list", "--format", "json")); out != "null" && out != "[]" {
			t.Errorf("json of none: %q", out)
		}
	})

	second := harness.New(t)
	second.Root = b.Root
	pid := b.Up()
	second.Create()

	t.Run("quiet", func(t *testing.T) {
		want := b.ID + "\n" + second.ID + "\n"
		if out := b.OK("list", "-q"); out != want {
			t.Errorf("got %q, want %q", out, want)
		}
	})
	t.Run("table", func(t *testing.T) {
		rows := strings.Split(strings.TrimSpace(b.OK("list")), "\n")
		if len(rows) != 3 {
			t.Fatalf("got %q", rows)
		}
		fields := strings.Fields(rows[1])
		want := []string{b.ID, fmt.Sprint(pid), "running", b.Bundle}
		if len(fields) != 6 || strings.Join(fields[:4], " ") != strings.Join(want, " ") || fields[5] != "root" {
			t.Errorf("got %q, want %q CREATED root", fields, want)
		}
		if fields := strings.Fields(rows[2]); fields[2] != "created" {
			t.Errorf("second row %q", fields)
		}
	})
	t.Run("json", func(t *testing.T) {
		var list []map[string]any
		if err := json.Unmarshal([]byte(b.OK("list", "--format", "json")), &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 2 {
			t.Fatalf("got %v", list)
		}
		first := list[0]
		if first["id"] != b.ID || first["status"] != "running" || first["pid"] != float64(pid) || first["bundle"] != b.Bundle ||
			first["rootfs"] != b.Rootfs || first["owner"] != "root" || first["ociVersion"] == "" || first["created"] == "" {
			t.Errorf("got %v", first)
		}
	})
	t.Run("nonsense format", func(t *testing.T) {
		b.Fails("", "list", "--format", "nonsense")
	})
}

// TestStateShape: scripts parse these fields.
func TestStateShape(t *testing.T) {
	b := harness.New(t)
	b.Spec.Annotations = map[string]string{"org.example.deck": "orlop"}
	b.Write()
	b.Create()
	var s map[string]any
	if err := json.Unmarshal([]byte(b.OK("state", b.ID)), &s); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"} {
		if _, ok := s[key]; !ok {
			t.Errorf("no %s in %v", key, s)
		}
	}
	if notes, _ := s["annotations"].(map[string]any); notes["org.example.deck"] != "orlop" {
		t.Errorf("annotations: %v", s["annotations"])
	}
}
