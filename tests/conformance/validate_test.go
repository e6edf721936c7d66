package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"
	"github.com/opencontainers/runtime-tools/validate"
	"github.com/xeipuuv/gojsonschema"
)

// bundle makes a bundle of the suite's root filesystem and what `orlop spec` writes.
func (b *built) bundle(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "tar", "-xf", b.suite.rootfs, "-C", rootfs)
	command(t, b.orlop, append([]string{"spec", "--bundle", dir}, args...)...)
	return dir
}

// command runs a command and returns what it prints. It prints into a file: containers that it
// leaves would keep a pipe open.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	files := make([]*os.File, 2)
	for i := range files {
		file, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files[i] = file
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	if err := cmd.Run(); err != nil {
		stderr, _ := os.ReadFile(files[1].Name())
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr)
	}
	stdout, err := os.ReadFile(files[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(stdout)
}

// checkSchema holds a document to a schema of the specification. The tools' own check fetches it
// from the network.
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

// checkBundle has the tools' validator check a bundle, as `oci-runtime-tool validate` does. With
// local it looks at this host, too, where it does not find a filesystem "none", which the
// specification allows as the type of bind mounts.
func checkBundle(t *testing.T, dir string, local bool) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	checkSchema(t, "config-schema.json", string(data))
	v, err := validate.NewValidatorFromPath(dir, local, "linux")
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

// testValidate: the validator of runtime-tools finds nothing wrong with what `orlop spec` writes.
func (b *built) testValidate(t *testing.T) {
	t.Run("root", func(t *testing.T) { checkBundle(t, b.bundle(t), true) })
	t.Run("rootless", func(t *testing.T) { checkBundle(t, b.bundle(t, "--rootless"), false) })
	t.Run("can fail", func(t *testing.T) {
		dir := b.bundle(t)
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

// testGenerate: runtime-tools can take what `orlop spec` writes as its template, and what it makes
// of that is valid and runs.
func (b *built) testGenerate(t *testing.T) {
	dir := b.bundle(t)
	config := filepath.Join(dir, "config.json")
	command(t, b.suite.program("oci-runtime-tool"), "generate", "--template", config, "--output", config, "--process-terminal=false",
		"--hostname", "deck", "--env", "GREETING=ahoy", "--process-cwd", "/tmp", "--process-uid", "10", "--process-umask", "23",
		"--mounts-add", `{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]}`,
		"--linux-pids-limit", "50", "--linux-oom-score-adj", "100", "--linux-sysctl", "net.ipv4.ip_forward=1",
		"--args", "sh", "--args=-c", "--args", "echo $GREETING $(hostname) $(id -u) $(umask) $(pwd) $(cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj)")
	checkBundle(t, dir, true)
	out := command(t, b.orlop, "--root", t.TempDir(), "run", "--bundle", dir, fmt.Sprintf("orlop-conformance-%d-generate", os.Getpid()))
	if want := "ahoy deck 10 0027 /tmp 1 100\n"; out != want {
		t.Errorf("the container says %q, want %q", out, want)
	}
}

// testSchemas: what orlop tells of itself and of containers is as the specification's schemas have
// it.
func (b *built) testSchemas(t *testing.T) {
	checkSchema(t, "features-schema.json", command(t, b.orlop, "features"))
	dir, root := b.bundle(t), t.TempDir()
	id := fmt.Sprintf("orlop-conformance-%d-schema", os.Getpid())
	state := func() string {
		out := command(t, b.orlop, "--root", root, "state", id)
		checkSchema(t, "state-schema.json", out)
		var s struct{ Status string }
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Error(err)
		}
		return s.Status
	}
	config := filepath.Join(dir, "config.json")
	command(t, b.suite.program("oci-runtime-tool"), "generate", "--template", config, "--output", config, "--process-terminal=false", "--args", "sleep", "--args", "1000")
	command(t, b.orlop, "--root", root, "create", "--bundle", dir, id)
	defer command(t, b.orlop, "--root", root, "delete", "--force", id)
	if got := state(); got != "created" {
		t.Errorf("status %s", got)
	}
	command(t, b.orlop, "--root", root, "start", id)
	if got := state(); got != "running" {
		t.Errorf("status %s", got)
	}
}
