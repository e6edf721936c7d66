package setup

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/specconv"
)

// TestAppArmorProfile: a profile replaces the runtime's, except with no_new_privs, under which a
// confined process may only give up privileges.
func TestAppArmorProfile(t *testing.T) {
	for _, tc := range []struct {
		noNewPrivileges, confined bool
		want                      string
	}{
		{false, false, "exec web"}, {true, false, "exec web"}, {false, true, "exec web"}, {true, true, "stack web"},
	} {
		spec := specconv.Example()
		spec.Process.ApparmorProfile, spec.Process.NoNewPrivileges = "web", tc.noNewPrivileges
		facts := Facts{AppArmor: true, Confined: tc.confined}
		container, err := Container(parse(t, marshal(t, spec)), Options{}, facts)
		if err != nil {
			t.Fatal(err)
		}
		exec, err := Exec(spec.Process, Join{}, Options{}, facts)
		if err != nil {
			t.Fatal(err)
		}
		for name, plan := range map[string]*Plan{"container": container, "exec": exec} {
			if want := `set AppArmor label "` + tc.want + `" (apparmor/exec)`; !strings.Contains(plan.String(), want) {
				t.Errorf("%s: %+v: no %s in\n%s", name, tc, want, plan)
			}
		}
	}
}
