package host

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

func TestReadRights(t *testing.T) {
	r, err := ReadRights()
	if err != nil {
		t.Fatal(err)
	}
	if r.Effective&^r.Permitted != 0 {
		t.Errorf("effective capabilities %#x are not among the permitted %#x", r.Effective, r.Permitted)
	}
	if last := lastCap(); last < unix.CAP_CHECKPOINT_RESTORE || r.Permitted>>(last+1) != 0 {
		t.Errorf("the last capability is %d, permitted are %#x", last, r.Permitted)
	}
}

func TestCheckNamespaces(t *testing.T) {
	user, mount := specconv.Namespace{Type: specs.UserNamespace}, specconv.Namespace{Type: specs.MountNamespace}
	for _, tc := range []struct {
		name       string
		permitted  uint64
		namespaces []specconv.Namespace
		ok         bool
	}{
		{"root", 1 << unix.CAP_SYS_ADMIN, []specconv.Namespace{mount}, true},
		{"user", 0, []specconv.Namespace{mount, user}, true},
		{"user without a user namespace", 1 << unix.CAP_SYS_CHROOT, []specconv.Namespace{mount}, false},
		{"user without namespaces", 0, nil, true},
	} {
		err := Rights{Permitted: tc.permitted}.CheckNamespaces(&specconv.Bundle{Namespaces: tc.namespaces})
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
