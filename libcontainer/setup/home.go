package setup

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// learnHome asks the runtime for the home directory of the process's user, and puts it into $HOME.
// The process sends its root when all mounts are made, and the runtime reads /etc/passwd in it: the
// image's, or what a mount has put in its place.
type learnHome struct{ UID uint32 }

func (learnHome) kind() kind {
	return kind{phaseInside, "learn", "learn the user's home directory for $HOME"}
}

// MaxHome is the longest answer to MessageHome: longer paths cannot be used.
const MaxHome = unix.PathMax - 1

const homeName = "HOME="

func (h learnHome) lower(l *lowering) {
	root := l.fd()
	l.ownOpen("/", openDir).Result(root)
	l.home = l.prog.Bytes(append([]byte(homeName), make([]byte, MaxHome+1)...))
	l.sendFile(MessageHome, root, nsenter.Int(h.UID))
	l.awaitData(l.home+nsenter.Addr(len(homeName)), MaxHome)
}

// homeStep looks up HOME if the environment has none or an empty one. A hook with its own
// environment gets exactly that.
func (b *builder) homeStep(p *specs.Process) {
	exact := b.hook != nil && len(b.hook.Env) > 0
	if b.learnsHome = len(p.Args) > 0 && !exact && variable(p.Env, "HOME") == ""; b.learnsHome {
		b.add("process.user", learnHome{p.User.UID})
	}
}

// environment returns the environment of the process, without the variables that it learns: see
// learnHome and learnPid. The last entry of a name counts.
func (b *builder) environment(env []string) []string {
	list := specconv.Environment(slices.Concat(env, b.env))
	return slices.DeleteFunc(list, func(entry string) bool {
		return b.learnsHome && strings.HasPrefix(entry, homeName) || b.learnsPid != "" && strings.HasPrefix(entry, b.learnsPid+"=")
	})
}
