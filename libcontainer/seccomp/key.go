package seccomp

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// format changes when the same profile is to give another program: what newSyscalls appends, say.
const format = "1"

// key names a profile's program in the cache: by all that the program hangs on.
func key(profile *specs.LinuxSeccomp, compiler string) string {
	w := make(keyText, 0, 16<<10) // a profile like Docker's needs 8 KiB
	w.text(format)
	w.text(compiler)
	w.text(runtime.GOARCH)
	w.text(string(profile.DefaultAction))
	w.optional(profile.DefaultErrnoRet)
	w.number(uint64(len(profile.Architectures)))
	for _, a := range profile.Architectures {
		w.text(string(a))
	}
	w.number(uint64(len(profile.Syscalls)))
	for i := range profile.Syscalls {
		w.rule(&profile.Syscalls[i])
	}
	sum := sha256.Sum256(w)
	return hex.EncodeToString(sum[:])
}

// keyText takes each value with its length or presence, so that no two profiles give the same bytes. (JSON would do, but the first use of
// encoding/json costs more than all the rest. So does hashing a name at a time.)
type keyText []byte

func (w *keyText) rule(s *specs.LinuxSyscall) {
	w.number(uint64(len(s.Names)))
	for _, n := range s.Names {
		w.text(n)
	}
	w.text(string(s.Action))
	w.optional(s.ErrnoRet)
	w.number(uint64(len(s.Args)))
	for _, a := range s.Args {
		w.number(uint64(a.Index))
		w.number(a.Value)
		w.number(a.ValueTwo)
		w.text(string(a.Op))
	}
}

func (w *keyText) number(n uint64) { *w = binary.LittleEndian.AppendUint64(*w, n) }

func (w *keyText) text(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *keyText) optional(n *uint) {
	if n == nil {
		w.number(0)
		return
	}
	w.number(1)
	w.number(uint64(*n))
}
