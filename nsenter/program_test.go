package nsenter

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Each mistake in building a program is an error of Image that says what is wrong.
func TestMistakes(t *testing.T) {
	other := NewProgram()
	other.NewLabel()
	foreign := other.NewLabel()
	for name, test := range map[string]struct {
		build func(p *Program)
		want  string
	}{
		"label not placed":   {func(p *Program) { p.Jump(p.NewLabel()) }, "operation 1 (set, step 3): label 1 is not placed"},
		"label placed twice": {func(p *Program) { l := p.NewLabel(); p.Place(l); p.Place(l) }, "label 1 is placed twice"},
		"label of another":   {func(p *Program) { p.Jump(foreign) }, "label 2 is not one of this program's"},
		"place another's":    {func(p *Program) { p.Place(foreign) }, "label 2 is not one of this program's"},
		"place no label":     {func(p *Program) { p.Place(0) }, "label 0 is not one of this program's"},
		"jump to no label":   {func(p *Program) { p.Jump(0) }, "a label that was not made"},
		"error to no label":  {func(p *Program) { p.Call(unix.SYS_READ).OnError(0) }, "a label that was not made"},
		"negative label":     {func(p *Program) { p.Jump(-9) }, "label -9 is not one of this program's"},
		"nobody's register":  {func(p *Program) { p.Call(unix.SYS_READ, Reg(240)) }, "register 240 does not exist"},
		"result in nowhere":  {func(p *Program) { p.Call(unix.SYS_READ).Result(255) }, "register 255 does not exist"},
		"registers":          {func(p *Program) { registers(p, maxRegisters) }, "step 3 needs more than 240 registers"},
		"late keep":          {func(p *Program) { p.Reg(); p.Keep() }, "step 3 keeps a register after"},
		"NUL":                {func(p *Program) { p.String("a\x00b") }, `string "a\x00b" contains a NUL byte`},
		"NUL in a list":      {func(p *Program) { p.Strings([]string{"a", "\x00"}) }, "contains a NUL byte"},
		"no descriptor":      {func(p *Program) { p.Call(unix.SYS_READ, FD("pidfd")) }, `operation 1 (read, step 3): descriptor "pidfd" is not passed`},
		"seven arguments":    {func(p *Program) { p.Call(unix.SYS_READ, make([]Arg, 7)...) }, "7 arguments, 6 at most"},
		"nil argument":       {func(p *Program) { p.Call(unix.SYS_READ, Int(1), nil) }, "argument 1 is nil"},
		"no system call":     {func(p *Program) { p.Call(0xf000) }, "system call 61440 is out of range"},
		"fail with nothing":  {func(p *Program) { p.Fail(0) }, "0 is not an error"},
		"fail with too much": {func(p *Program) { p.Fail(4096) }, "4096 is not an error"},
		"ignore nothing":     {func(p *Program) { p.Call(unix.SYS_READ).Ignore(0) }, "0 is not an error"},
		"ignore 65535":       {func(p *Program) { p.Call(unix.SYS_READ).Ignore(0xffff) }, "65535 is not an error"},
		"three errors":       {func(p *Program) { p.Call(unix.SYS_READ).Ignore(1, 2, 3) }, "handles 3 errors, 2 at most"},
		"ignore twice":       {func(p *Program) { p.Call(unix.SYS_READ).Ignore(1).Ignore(2) }, "handles errors twice"},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewProgram()
			p.Set(1, Int(0))
			p.Step(3)
			test.build(p)
			l, err := Prepare(p, Start{})
			if err == nil {
				l.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "program: ") {
				t.Errorf("got %q, want %q", err, test.want)
			}
		})
	}
}

func registers(p *Program, n int) {
	for range n {
		p.Reg()
	}
}

func TestFirstOperationIsNoTarget(t *testing.T) {
	p := NewProgram()
	l := p.NewLabel()
	p.Place(l)
	p.Jump(l)
	if _, err := p.Image(nil); err == nil || !strings.Contains(err.Error(), "is before the first operation") {
		t.Errorf("got %v", err)
	}
}

func TestRegisters(t *testing.T) {
	p := NewProgram()
	kept := p.Keep()
	a := p.Reg()
	p.Step(1)
	also := p.Keep()
	b := p.Reg()
	p.Step(2)
	c := p.Reg()
	if kept == Channel || also == kept || a != also || b != c || c == also {
		t.Errorf("kept %d and %d; %d, %d, %d", kept, also, a, b, c)
	}
}

func TestSharedStrings(t *testing.T) {
	p := NewProgram()
	a, b := p.String("x"), p.String("y")
	one, other := p.Strings([]string{"x"}), p.Strings([]string{"x"})
	if a == b || p.String("x") != a || one == other {
		t.Error("strings are to be shared, arrays are not")
	}
}

// Pointers that Call returns stay valid when more operations follow.
func TestOpsStayValid(t *testing.T) {
	p := NewProgram()
	early := p.Call(unix.SYS_CHDIR, p.String("/nowhere"))
	for range 1000 {
		p.Set(1, Int(1))
	}
	early.Ignore(unix.ENOENT).Result(5)
	p.Call(unix.SYS_EXIT_GROUP, Int(9))
	if ops := p.Ops(); len(ops) != p.Len() || ops[0].dst != 5 {
		t.Errorf("%d operations of %d, the first is %+v", len(ops), p.Len(), ops[0])
	}
	proc := start(t, p, Start{})
	wantEOF(t, proc.Conn)
	wantStatus(t, proc, 9)
}

func benchmarkProgram() *Program {
	p := NewProgram()
	for i := range 250 {
		if i%5 == 0 {
			p.Step(i / 5)
		}
		r := p.Reg()
		p.Call(unix.SYS_OPENAT, Int(unix.AT_FDCWD), p.String("/some/path/"+string(rune('a'+i%100))), Int(unix.O_PATH|unix.O_CLOEXEC)).
			Result(r).Ignore(unix.ENOENT)
	}
	p.Strings(make([]string, 30))
	return p
}

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		benchmarkProgram()
	}
}

func BenchmarkImage(b *testing.B) {
	p := benchmarkProgram()
	for b.Loop() {
		if _, err := p.Image(nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	p := benchmarkProgram()
	for b.Loop() {
		l, err := Prepare(p, Start{})
		if err != nil {
			b.Fatal(err)
		}
		l.Close()
	}
}

func BenchmarkStart(b *testing.B) {
	p := NewProgram()
	p.Call(unix.SYS_EXIT_GROUP)
	for b.Loop() {
		l, err := Prepare(p, Start{})
		if err != nil {
			b.Fatal(err)
		}
		proc, err := l.Start(-1)
		if err != nil {
			b.Fatal(err)
		}
		l.Close()
		if _, err := proc.Wait(); err != nil {
			b.Fatal(err)
		}
		proc.Close()
	}
}
