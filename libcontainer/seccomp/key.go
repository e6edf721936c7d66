package seccomp

import (
	"encoding/binary"
	"hash/fnv"
	"runtime"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// format changes when the same profile results in another program, for instance because of
// newSyscalls or shorten.
const format = "2"

// A key is everything that a profile's program depends on.
type key []byte

// keyOf returns the key of a profile's program for a version of the compiler.
func keyOf(profile *specs.LinuxSeccomp, compiler string) key {
	w := make(key, 0, 16<<10) // a profile like Docker's needs 8 KiB
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
	return w
}

// name returns the name of a key's file. Two keys may have one name, so the file contains the key,
// too.
func (k key) name() string { return strconv.FormatUint(hash(k), 16) }

// hash is FNV-1a: its strength does not matter. The hashes of package crypto add 0.08 ms to each
// start of the program for their self-tests, and hash/crc32 0.2 ms for its tables.
func hash(data []byte) uint64 {
	h := fnv.New64a()
	h.Write(data)
	return h.Sum64()
}

// Each value is preceded by its length or presence, so that no two profiles result in the same
// bytes. (JSON would serve, but the first use of encoding/json costs more than all the rest.)

func (w *key) rule(s *specs.LinuxSyscall) {
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

func (w *key) number(n uint64) { *w = binary.LittleEndian.AppendUint64(*w, n) }

func (w *key) text(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *key) optional(n *uint) {
	if n == nil {
		w.number(0)
		return
	}
	w.number(1)
	w.number(uint64(*n))
}
