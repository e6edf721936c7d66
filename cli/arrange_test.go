package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestArrange(t *testing.T) {
	cases := []struct{ args, want string }{
		{"", ""},
		{"state a", "state -- a"},
		{"-root /r -debug state a", "--root=/r --debug state -- a"},
		{"--root=/r --systemd-cgroup=false state a", "--root=/r --systemd-cgroup=false state -- a"},
		{"-v", "--version"},
		{"delete a -f", "delete --force -- a"},
		{"kill a KILL --all", "kill --all -- a KILL"},
		{"kill -- a -1", "kill -- a -1"},
		{"create -b B a --pid-file=p", "create --bundle=B --pid-file=p -- a"},
		{"run a -d --bundle B", "run --detach --bundle=B -- a"},
		{"run --bundle -- a", "run --bundle=-- -- a"},
		{"state - a", "state -- - a"},
		// What follows an exec's container is the command's own.
		{"exec -t a sh -c id", "exec --tty -- a sh -c id"},
		{"exec -e A=1 --env B=-2 a env -e", "exec --env=A=1 --env=B=-2 -- a env -e"},
		{"exec -- a ls -- -l", "exec -- a ls -- -l"},
		{"exec -g 1 -additional-gids=2 -u 0:0 a id", "exec --additional-gids=1 --additional-gids=2 --user=0:0 -- a id"},
		// And what follows a ps's is for ps(1).
		{"ps -f json a", "ps --format=json -- a"},
		{"ps --format table a -o pid,comm -e", "ps --format=table -- a -o pid,comm -e"},
		{"events a --interval 1s --stats", "events --interval=1s --stats -- a"},
		{"stats a b --no-stream", "stats --no-stream -- a b"},
		// Left to the parser, which says what is wrong or prints help.
		{"state --nosuch a", "state --nosuch -- a"},
		{"exec --help", "exec --help --"},
		{"nosuch --x a", "nosuch --x a"},
	}
	for _, tc := range cases {
		args := append([]string{"orlop"}, strings.Fields(tc.args)...)
		p := &program{}
		got, err := arrange(p.app(args), args)
		if err != nil {
			t.Errorf("%q: %v", tc.args, err)
			continue
		}
		if want := append([]string{"orlop"}, strings.Fields(tc.want)...); !slices.Equal(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", tc.args, got, want)
		}
	}
}

// TestCommandsAreThere: whatever stands around a command's name, the command is built.
func TestCommandsAreThere(t *testing.T) {
	p := &program{}
	all := builders()
	for _, b := range all {
		args := []string{"orlop", "--root", "/r", b.name, "x"}
		if p.app(args).Command(b.name) == nil {
			t.Errorf("%q: no command %s", args, b.name)
		}
	}
	if got, want := len(p.commands([]string{"orlop", "nosuch"})), len(all); got != want {
		t.Errorf("%d commands for an unknown one, want all %d", got, want)
	}
}
