package seccomp

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestCache: a stored program is found, and one that another user could have written is not.
func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	name := key("the key")
	program := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 20)
	put := func() {
		c := openCache(dir)
		defer c.close()
		c.put(name, program)
	}
	get := func() []byte {
		c := openCache(dir)
		defer c.close()
		return c.get(name)
	}
	put()
	if !bytes.Equal(get(), program) {
		t.Fatal("not there")
	}
	file := filepath.Join(dir, name.name())
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoil := map[string]func() error{
		"cut":                          func() error { return os.Truncate(file, int64(len(whole)-8)) },
		"empty":                        func() error { return os.Truncate(file, 0) },
		"changed":                      func() error { return os.WriteFile(file, append(whole[:len(whole)-1:len(whole)-1], 9), 0o600) },
		"longer":                       func() error { return os.WriteFile(file, append(whole, make([]byte, maxProgram)...), 0o600) },
		"writable by others":           func() error { return os.Chmod(file, 0o606) },
		"a link":                       func() error { return errors2(os.Rename(file, file+"2"), os.Symlink(file+"2", file)) },
		"directory writable by others": func() error { return os.Chmod(dir, 0o707) },
	}
	if os.Geteuid() == 0 {
		spoil["another's"] = func() error { return os.Chown(file, 1, 1) }
		spoil["another's directory"] = func() error { return os.Chown(dir, 1, 1) }
	}
	for name, do := range spoil {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		put()
		if err := do(); err != nil {
			t.Fatal(name, err)
		}
		if get() != nil {
			t.Errorf("%s: taken", name)
		}
	}
	other := key("another")
	if err := errors2(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, other.name()), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	c := openCache(dir)
	defer c.close()
	if c.get(other) != nil {
		t.Error("the program of another key with the same name is taken")
	}
	if none := openCache(""); none.get(name) != nil {
		t.Error("no cache has something")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

func errors2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// TestKey: everything that the program depends on changes the name.
func TestKey(t *testing.T) {
	seen := map[string]string{}
	one, two := uint(1), uint(2)
	call := func(change func(*specs.LinuxSyscall)) *specs.LinuxSeccomp {
		s := specs.LinuxSyscall{Names: []string{"a"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 2, Op: specs.OpEqualTo}}}
		change(&s)
		return &specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{s}}
	}
	add := func(name, compiler string, p *specs.LinuxSeccomp) {
		k := string(keyOf(p, compiler))
		if other, taken := seen[k]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		if k != string(keyOf(p, compiler)) {
			t.Errorf("%s has two keys", name)
		}
		seen[k] = name
	}
	add("empty", "1", &specs.LinuxSeccomp{})
	add("compiler", "2", &specs.LinuxSeccomp{})
	add("action", "1", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow})
	add("errno 1", "1", &specs.LinuxSeccomp{DefaultErrnoRet: &one})
	add("errno 2", "1", &specs.LinuxSeccomp{DefaultErrnoRet: &two})
	add("architecture", "1", &specs.LinuxSeccomp{Architectures: []specs.Arch{specs.ArchX86}})
	add("call", "1", call(func(*specs.LinuxSyscall) {}))
	add("names", "1", call(func(s *specs.LinuxSyscall) { s.Names = []string{"a", "b"} }))
	add("name", "1", call(func(s *specs.LinuxSyscall) { s.Names = []string{"ab"} }))
	add("call's action", "1", call(func(s *specs.LinuxSyscall) { s.Action = specs.ActErrno }))
	add("call's errno", "1", call(func(s *specs.LinuxSyscall) { s.ErrnoRet = &one }))
	add("no args", "1", call(func(s *specs.LinuxSyscall) { s.Args = nil }))
	add("index", "1", call(func(s *specs.LinuxSyscall) { s.Args[0].Index = 3 }))
	add("value", "1", call(func(s *specs.LinuxSyscall) { s.Args[0].Value = 3 }))
	add("second value", "1", call(func(s *specs.LinuxSyscall) { s.Args[0].ValueTwo = 3 }))
	add("operator", "1", call(func(s *specs.LinuxSyscall) { s.Args[0].Op = specs.OpNotEqual }))
}
