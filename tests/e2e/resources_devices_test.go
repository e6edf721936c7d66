package e2e

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// accessNodes are the devices that containers try to open: numbers for local use, which have no
// driver (a permitted open returns ENXIO, a forbidden one EPERM before that), and /dev/fuse, which
// can be opened.
const accessNodes = "c120:3 c120:4 c121:3 b120:3 c10:229"

// accessScript prints each node's name with the permitted ones of r and w; and whether a node may
// be made.
const accessScript = `
may() { case $1 in *"not permitted"*) ;; *) may=$may$2 ;; esac; }
for path in /dev/access/*; do
	may=
	may "$( (: <"$path") 2>&1)" r
	may "$( (: >"$path") 2>&1)" w
	echo "${path##*/} $may"
done
may=
may "$(mknod /dev/made c 120 3 2>&1)" m
rm -f /dev/made
echo "mknod $may"`

// TestDeviceAccess: rules for devices have the intended effect, from config.json and from update,
// which replaces all of them.
func TestDeviceAccess(t *testing.T) {
	harness.OrlopOnly(t, "others do not update rules")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("needs /dev/fuse, a device to open")
	}
	updated := accessBox(t, "")
	updated.Up()
	for _, tt := range []struct{ rules, want string }{
		{"", ""},
		{"deny a", ""},
		{"deny a, allow c 120:3 r", "c120:3 r"},
		{"deny a, allow c 120:3 w", "c120:3 w"},
		{"deny a, allow c 120:3 rw, deny c 120:3 w", "c120:3 r"},
		{"deny c 120:3 rw, allow c 120:3 r", "c120:3 r"},
		{"deny a, allow c 120:* rw", "c120:3 rw, c120:4 rw"},
		{"deny a, allow c *:3 w", "c120:3 w, c121:3 w"},
		{"deny a, allow c *:* r", "c120:3 r, c120:4 r, c121:3 r, c10:229 r"},
		{"deny a, allow b 120:* rwm", "b120:3 rw"},
		{"deny a, allow c 10:229 rw, allow b *:* w", "c10:229 rw, b120:3 w"},
		{"allow a", "c120:3 rw, c120:4 rw, c121:3 rw, b120:3 rw, c10:229 rw"},
		{"allow a, deny c 120:3 w", "c120:3 r, c120:4 rw, c121:3 rw, b120:3 rw, c10:229 rw"},
		{"allow a, deny c 120:* rw, deny c 10:229 r", "c121:3 rw, b120:3 rw, c10:229 w"},
		{"deny a, allow a *:* r", "c120:3 r, c120:4 r, c121:3 r, b120:3 r, c10:229 r"},
		{"deny a, allow c 120:3 r, deny a, allow c 121:3 w", "c121:3 w"},
		{"deny a, allow c 120:* rw, deny c 120:4 rw", "c120:3 rw"}, // on v1: see below
	} {
		t.Run(tt.rules, func(t *testing.T) {
			fresh := accessBox(t, tt.rules)
			data, err := json.Marshal(specs.LinuxResources{Devices: parseRules(t, tt.rules)})
			must(t, err)
			update := updated.Cmd("update", "--resources", "-", updated.ID)
			update.Stdin = strings.NewReader(string(data))
			h, none := hierarchyOf(t, "devices")
			if none != "" {
				t.Skip(none)
			}
			if h.version == 1 && strings.Contains(tt.rules, "120:*") && strings.HasSuffix(tt.rules, "deny c 120:4 rw") {
				const why = "cgroup v1 cannot except a device from the wider rule"
				update.Run().Fails(updated, why)
				fresh.Fails(why, "create", "--bundle", fresh.Bundle, fresh.ID)
				return
			}
			checkAccess(t, "config.json", fresh.Sh(accessScript), tt.want)
			if update.Run().OK(updated); tt.rules == "" {
				return // no rules to update to
			}
			checkAccess(t, "update", updated.OK("exec", updated.ID, "sh", "-c", accessScript), tt.want)
		})
	}
	// An update of another resource leaves the rules unchanged; so does a refused one.
	rules := "deny a, allow c 120:3 r"
	data, err := json.Marshal(specs.LinuxResources{Devices: parseRules(t, rules)})
	must(t, err)
	update := updated.Cmd("update", "--resources", "-", updated.ID)
	update.Stdin = strings.NewReader(string(data))
	update.Run().OK(updated)
	updated.OK("update", "--cpu-share", "512", updated.ID)
	update = updated.Cmd("update", "--resources", "-", updated.ID)
	update.Stdin = strings.NewReader(`{"devices":[{"allow":true},{"type":"x","allow":true}]}`)
	update.Run().Fails(updated, "linux.resources.devices[1].type")
	checkAccess(t, "after other updates", updated.OK("exec", updated.ID, "sh", "-c", accessScript), "c120:3 r")
}

// TestTunIsADefaultDevice: rules that deny all devices leave tun, whose node VPN programs make
// themselves.
func TestTunIsADefaultDevice(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1.5 has it, those from 1.2.0 to 1.2.3 do not")
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun, a device to open")
	}
	for _, rules := range []string{"", "deny a", "deny c 10:200 rwm"} {
		t.Run(rules, func(t *testing.T) {
			b := harness.New(t, harness.Caps("CAP_MKNOD"))
			b.Spec.Linux.Resources.Devices = parseRules(t, rules)
			if got := b.Sh("mknod /dev/tun c 10 200 && : <>/dev/tun && echo open"); got != "open\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// accessBox is a container with the nodes and these rules.
func accessBox(t *testing.T, rules string) *harness.Box {
	t.Helper()
	b := harness.New(t, harness.Caps("CAP_MKNOD", "CAP_DAC_OVERRIDE"))
	b.Spec.Linux.Resources.Devices = parseRules(t, rules)
	mode := os.FileMode(0o666)
	for node := range strings.FieldsSeq(accessNodes) {
		major, minor, _ := strings.Cut(node[1:], ":")
		b.Spec.Linux.Devices = append(b.Spec.Linux.Devices, specs.LinuxDevice{Path: "/dev/access/" + node, Type: node[:1],
			Major: *number(t, major), Minor: *number(t, minor), FileMode: &mode})
	}
	b.Write()
	return b
}

// parseRules parses "deny a, allow c 1:* rw": an omitted number or access is also omitted in the
// rule.
func parseRules(t *testing.T, text string) (list []specs.LinuxDeviceCgroup) {
	t.Helper()
	if text == "" {
		return nil
	}
	for one := range strings.SplitSeq(text, ", ") {
		words := append(strings.Fields(one), "", "")
		rule := specs.LinuxDeviceCgroup{Allow: words[0] == "allow", Type: words[1], Access: words[3]}
		if major, minor, ok := strings.Cut(words[2], ":"); ok {
			rule.Major, rule.Minor = number(t, major), number(t, minor)
		}
		list = append(list, rule)
	}
	return list
}

// number parses a device's number; "*" is nil.
func number(t *testing.T, text string) *int64 {
	t.Helper()
	if text == "*" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	must(t, err)
	return &n
}

// checkAccess compares the script's output with "c120:3 r, c120:4 rw"; other nodes may not be
// opened. Making nodes is always permitted, as in other runtimes.
func checkAccess(t *testing.T, from, got, want string) {
	t.Helper()
	may := map[string]string{"mknod": "m"}
	for entry := range strings.SplitSeq(want, ", ") {
		node, access, _ := strings.Cut(entry, " ")
		may[node] = access
	}
	found := 0
	for line := range strings.Lines(got) {
		node, access, _ := strings.Cut(strings.TrimSpace(line), " ")
		if access != may[node] {
			t.Errorf("%s: %s may be %q, want %q", from, node, access, may[node])
		}
		found++
	}
	if want := 1 + len(strings.Fields(accessNodes)); found != want {
		t.Errorf("%s: the script printed %d lines, want %d:\n%s", from, found, want, got)
	}
}
