package setup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestPropagation: with rootfsPropagation "rshared", a volume can be shared with the host, which
// "rslave" is not.
func TestPropagation(t *testing.T) {
	for _, tc := range []struct {
		mode string
		want []string
	}{
		{"", nil}, {"rslave", nil}, {"private", nil}, {"rprivate", nil},
		{"shared", []string{"shared:"}}, {"rshared", []string{"shared:"}}, {"unbindable", []string{"unbindable"}},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			tr := newTrial(t, `grep -E ' (/|/vol) ' /proc/self/mountinfo; mount -t tmpfs none /vol/sub && echo mounted`)
			lockNamespace(t)
			vol := t.TempDir()
			if err := unix.Mount("tmpfs", vol, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Unmount(vol, unix.MNT_DETACH) })
			if err := unix.Mount("", vol, "", unix.MS_SHARED, ""); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(vol, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			tr.spec.Linux.RootfsPropagation = tc.mode
			tr.spec.Process.Capabilities.Bounding = append(tr.spec.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
			tr.spec.Process.Capabilities.Permitted = append(tr.spec.Process.Capabilities.Permitted, "CAP_SYS_ADMIN")
			tr.spec.Process.Capabilities.Effective = append(tr.spec.Process.Capabilities.Effective, "CAP_SYS_ADMIN")
			tr.facts.RootParent = mountPoint(t, tr.dir)
			tr.add(specs.Mount{Destination: "/vol", Type: "bind", Source: vol, Options: []string{"rbind", "rshared"}})
			out := tr.out()
			contains(t, out, "mounted\n")
			root, _, _ := strings.Cut(out, "\n")
			for _, w := range tc.want {
				if !strings.Contains(root, w) {
					t.Errorf("root is %q, lacks %q", root, w)
				}
			}
			data, err := os.ReadFile("/proc/thread-self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			shows := strings.Contains(string(data), " "+vol+"/sub ")
			if shows != strings.HasSuffix(tc.mode, "shared") {
				t.Errorf("the container's mount shows on the host: %v", shows)
			}
			if strings.Contains(string(data), tr.dir) {
				t.Errorf("the root shows on the host:\n%s", data)
			}
			unix.Unmount(filepath.Join(vol, "sub"), unix.MNT_DETACH)
		})
	}
}

func mountPoint(t *testing.T, p string) string {
	t.Helper()
	out, err := exec.Command("stat", "-c", "%m", p).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
