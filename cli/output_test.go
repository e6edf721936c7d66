package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func exampleStatus() *libcontainer.Status {
	return &libcontainer.Status{
		OCIVersion: "1.3.0", ID: "box", Pid: 4711, Status: specs.StateRunning, Bundle: "/b", Rootfs: "/b/rootfs",
		Created:     time.Date(2026, 1, 2, 3, 4, 5, 67, time.UTC),
		Annotations: map[string]string{"b": "two", "a": "<1> \"é\" \x01\x7f\u2028"}, Owner: "root",
	}
}

// TestState compares with encoding/json, which has the order and the spaces of runc.
func TestState(t *testing.T) {
	bare := exampleStatus()
	bare.Annotations, bare.Pid, bare.Status = nil, 0, specs.StateStopped
	plain := exampleStatus()
	plain.Annotations = map[string]string{"z": "1", "a": "2\t3\n\\"}
	for _, s := range []*libcontainer.Status{bare, plain} {
		want, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.JSON(); string(got) != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	var got libcontainer.Status
	if err := json.Unmarshal(exampleStatus().JSON(), &got); err != nil || !reflect.DeepEqual(&got, exampleStatus()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestListTable(t *testing.T) {
	stopped := exampleStatus()
	stopped.ID, stopped.Pid, stopped.Status = "a-container-of-a-longer-name", 0, specs.StateStopped
	var out strings.Builder
	if err := writeTable(&out, []*libcontainer.Status{exampleStatus(), stopped}); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"ID                             PID         STATUS      BUNDLE      CREATED                          OWNER\n" +
		"box                            4711        running     /b          2026-01-02T03:04:05.000000067Z   root\n" +
		"a-container-of-a-longer-name   0           stopped     /b          2026-01-02T03:04:05.000000067Z   root\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestListOfNone(t *testing.T) {
	for args, want := range map[string]string{
		"list -q": "", "list --format=json": "[]\n", "list": "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n",
	} {
		if got := call(t, strings.Fields(args)...).succeeds(t); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

func TestSpec(t *testing.T) {
	dir := t.TempDir()
	callBare(t, "spec", "--bundle", dir).succeeds(t)
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := specconv.Load(dir); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(data), "{\n\t\"ociVersion\"") || strings.Contains(string(data), "nheritable") {
		t.Errorf("%s, %v", data, err)
	}
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	callBare(t, "spec", "-b", dir).fails(t, 1, "config.json: file exists")
	if data, _ := os.ReadFile(file); string(data) != "mine" {
		t.Errorf("it was overwritten: %q", data)
	}

	rootless := t.TempDir()
	callBare(t, "spec", "-b", rootless, "--rootless").succeeds(t)
	data, err = os.ReadFile(filepath.Join(rootless, "config.json"))
	if err != nil || !strings.Contains(string(data), `"uidMappings"`) {
		t.Errorf("%s, %v", data, err)
	}
}
