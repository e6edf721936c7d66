package seccomp

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// format changes when the same profile is to give another program: what newSyscalls appends, say.
const format = "1"

// key names a profile's program in the cache: by all that the program hangs on.
func key(profile *specs.LinuxSeccomp, compiler string) string {
	w := digest{sha256.New()}
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
	return hex.EncodeToString(w.Sum(nil))
}

// A digest takes each value with its length or presence, so that no two profiles give the same bytes. (JSON would do, but the first use of
// encoding/json costs more than all the rest.)
type digest struct{ hash.Hash }

func (d digest) rule(s *specs.LinuxSyscall) {
	d.number(uint64(len(s.Names)))
	for _, n := range s.Names {
		d.text(n)
	}
	d.text(string(s.Action))
	d.optional(s.ErrnoRet)
	d.number(uint64(len(s.Args)))
	for _, a := range s.Args {
		d.number(uint64(a.Index))
		d.number(a.Value)
		d.number(a.ValueTwo)
		d.text(string(a.Op))
	}
}

func (d digest) number(n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	d.Write(b[:])
}

func (d digest) text(s string) {
	d.number(uint64(len(s)))
	d.Write([]byte(s))
}

func (d digest) optional(n *uint) {
	if n == nil {
		d.number(0)
		return
	}
	d.number(1)
	d.number(uint64(*n))
}
