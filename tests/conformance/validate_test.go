package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"
	"github.com/opencontainers/runtime-tools/validate"
	"github.com/xeipuuv/gojsonschema"
)

// bundle makes a bundle of the suite's root file system and what `orlop spec` writes.
func bundle(t *testing.T, s suite, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "tar", "-xf", s.rootfs, "-C", rootfs)
	command(t, orlop(t), append([]string{"spec", "--bundle", dir}, args...)...)
	return dir
}

// command runs a command and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// checkSchema holds a document to a schema of the specification. The tools' own check fetches it from the network.
func checkSchema(t *testing.T, schema, document string) {
	t.Helper()
	dir, err := goOutput(".", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec")
	if err != nil {
		t.Fatal(err)
	}
	file := "file://" + filepath.Join(strings.TrimSpace(dir), "schema", schema)
	result, err := gojsonschema.Validate(gojsonschema.NewReferenceLoader(file), gojsonschema.NewStringLoader(document))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range result.Errors() {
		t.Errorf("%s: %s", schema, e)
	}
}

// checkBundle has the tools' validator check a bundle, as `oci-runtime-tool --host-specific validate` does.
func checkBundle(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	checkSchema(t, "config-schema.json", string(data))
	v, err := validate.NewValidatorFromPath(dir, true, "linux")
	if err != nil {
		t.Fatal(err)
	}
	// All that its CheckAll does but the schema.
	found := multierror.Append(nil, v.CheckPlatform(), v.CheckRoot(), v.CheckMandatoryFields(), v.CheckSemVer(), v.CheckMounts(),
		v.CheckProcess(), v.CheckLinux(), v.CheckAnnotations(), v.CheckHooks())
	if err := found.ErrorOrNil(); err != nil {
		t.Error(err)
	}
}

// TestValidate: the validator of runtime-tools finds nothing wrong with what `orlop spec` writes.
func TestValidate(t *testing.T) {
	s := built(t)
	for name, args := range map[string][]string{"root": nil, "rootless": {"--rootless"}} {
		t.Run(name, func(t *testing.T) { checkBundle(t, bundle(t, s, args...)) })
	}
	t.Run("can fail", func(t *testing.T) {
		dir := bundle(t, s)
		file := filepath.Join(dir, "config.json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(data), `"cwd": "/"`, `"cwd": "relative"`, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		v, err := validate.NewValidatorFromPath(dir, true, "linux")
		if err != nil || multierror.Append(nil, v.CheckProcess()).ErrorOrNil() == nil {
			t.Error("the validator takes a relative working directory")
		}
	})
}

// TestGenerate: runtime-tools can take what `orlop spec` writes as its template, and what it makes of that is valid and runs.
func TestGenerate(t *testing.T) {
	s := built(t)
	dir := bundle(t, s)
	config := filepath.Join(dir, "config.json")
	command(t, s.program("oci-runtime-tool"), "generate", "--template", config, "--output", config, "--process-terminal=false",
		"--hostname", "deck", "--env", "GREETING=ahoy", "--process-cwd", "/tmp", "--process-uid", "10", "--process-umask", "23",
		"--mounts-add", `{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]}`,
		"--linux-pids-limit", "50", "--linux-oom-score-adj", "100", "--linux-sysctl", "net.ipv4.ip_forward=1",
		"--args", "sh", "--args=-c", "--args", "echo $GREETING $(hostname) $(id -u) $(umask) $(pwd) $(cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj)")
	checkBundle(t, dir)
	out := command(t, orlop(t), "--root", t.TempDir(), "run", "--bundle", dir, "generated-"+filepath.Base(dir))
	if want := "ahoy deck 10 0023 /tmp 1 100\n"; out != want {
		t.Errorf("the container says %q, want %q", out, want)
	}
}

// TestSchemas: what orlop tells of itself and of containers is as the specification's schemas have it.
func TestSchemas(t *testing.T) {
	s := built(t)
	checkSchema(t, "features-schema.json", command(t, orlop(t), "features"))
	dir, root := bundle(t, s), t.TempDir()
	id := "schema-" + filepath.Base(dir)
	state := func() string {
		out := command(t, orlop(t), "--root", root, "state", id)
		checkSchema(t, "state-schema.json", out)
		var s struct{ Status string }
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Error(err)
		}
		return s.Status
	}
	config := filepath.Join(dir, "config.json")
	command(t, s.program("oci-runtime-tool"), "generate", "--template", config, "--output", config, "--process-terminal=false", "--args", "sleep", "--args", "1000")
	command(t, orlop(t), "--root", root, "create", "--bundle", dir, id)
	t.Cleanup(func() { command(t, orlop(t), "--root", root, "delete", "--force", id) })
	if got := state(); got != "created" {
		t.Errorf("status %s", got)
	}
	command(t, orlop(t), "--root", root, "start", id)
	if got := state(); got != "running" {
		t.Errorf("status %s", got)
	}
}
