package engines

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestContrib: the files that no test has an engine read name what the others do: CRI-O is not among Debian's packages, and a RuntimeClass is
// read by Kubernetes' server.
func TestContrib(t *testing.T) {
	find := func(file, pattern string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("../../contrib", file))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)` + pattern).FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s: no %s", file, pattern)
		}
		return string(found[1])
	}
	equal(t, "CRI-O's path of orlop", find("cri-o/10-orlop.conf", `^runtime_path = "(.*)"$`), installed)
	handler := find("kubernetes/runtime.yaml", `^handler: (.*)$`)
	equal(t, "CRI-O's default", find("cri-o/10-orlop.conf", `^default_runtime = "(.*)"$`), handler)
	equal(t, "CRI-O's name", find("cri-o/10-orlop.conf", `^\[crio\.runtime\.runtimes\.(.*)\]$`), handler)
	equal(t, "containerd's default", find("containerd/config.toml", `default_runtime_name = "(.*)"$`), handler)
	equal(t, "containerd's name", find("containerd/config.toml", `containerd\.runtimes\.([^.\]]*)\]$`), handler)
}
