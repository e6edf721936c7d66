package specconv

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// AppendJSON appends a string as JSON. It is for the commands that must be quick: encoding/json prepares itself for each
// type at run time, which takes longer than all the rest of `orlop state`.
func AppendJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r) // U+FFFD for what is no UTF-8
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}

// EncodeProcess writes a process as one line of JSON, for DecodeProcess. It is what encoding/json makes of it, but for the way in which
// characters are escaped.
func EncodeProcess(p *specs.Process) ([]byte, error) {
	e := encoder{b: make([]byte, 0, 2048)}
	e.open("")
	e.yes("terminal", p.Terminal)
	if s := p.ConsoleSize; s != nil {
		e.open("consoleSize")
		e.number("height", uint64(s.Height))
		e.number("width", uint64(s.Width))
		e.close()
	}
	e.user(&p.User)
	e.texts("args", p.Args)
	e.text("commandLine", p.CommandLine)
	e.texts("env", p.Env)
	e.key("cwd")
	e.b = AppendJSON(e.b, p.Cwd)
	e.capabilities(p.Capabilities)
	e.rlimits(p.Rlimits)
	e.yes("noNewPrivileges", p.NoNewPrivileges)
	e.text("apparmorProfile", p.ApparmorProfile)
	if p.OOMScoreAdj != nil {
		e.key("oomScoreAdj")
		e.b = strconv.AppendInt(e.b, int64(*p.OOMScoreAdj), 10)
	}
	if p.Scheduler != nil {
		e.rare("scheduler", p.Scheduler)
	}
	e.text("selinuxLabel", p.SelinuxLabel)
	if p.IOPriority != nil {
		e.rare("ioPriority", p.IOPriority)
	}
	if p.ExecCPUAffinity != nil {
		e.rare("execCPUAffinity", p.ExecCPUAffinity)
	}
	e.close()
	return e.b, e.err
}

// DecodeProcess reads what EncodeProcess has written, and does not judge it.
func DecodeProcess(data []byte) (*specs.Process, error) {
	p := new(specs.Process)
	d := decodeAll(data, "process", p, decodeProcess)
	if d.syntax != nil {
		return nil, d.syntax
	}
	return p, d.faults.err()
}

// An encoder writes JSON member by member. As with omitempty, a member whose value is empty is left out where its method does not say
// otherwise.
type encoder struct {
	b   []byte
	err error
}

// key begins a member.
func (e *encoder) key(name string) {
	if e.b[len(e.b)-1] != '{' {
		e.b = append(e.b, ',')
	}
	e.b = append(AppendJSON(e.b, name), ':')
}

// open begins an object, the value of a member or, without a name, by itself.
func (e *encoder) open(name string) {
	if name != "" {
		e.key(name)
	}
	e.b = append(e.b, '{')
}

func (e *encoder) close() { e.b = append(e.b, '}') }

func (e *encoder) yes(name string, v bool) {
	if v {
		e.key(name)
		e.b = append(e.b, "true"...)
	}
}

func (e *encoder) text(name, s string) {
	if s != "" {
		e.key(name)
		e.b = AppendJSON(e.b, s)
	}
}

// number writes zero, too.
func (e *encoder) number(name string, n uint64) {
	e.key(name)
	e.b = strconv.AppendUint(e.b, n, 10)
}

func (e *encoder) texts(name string, list []string) {
	e.list(name, len(list), func(i int) { e.b = AppendJSON(e.b, list[i]) })
}

func (e *encoder) list(name string, n int, element func(i int)) {
	if n == 0 {
		return
	}
	e.key(name)
	e.b = append(e.b, '[')
	for i := range n {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		element(i)
	}
	e.b = append(e.b, ']')
}

// rare is for what few configurations have: encoding/json may take its time.
func (e *encoder) rare(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		e.err = fmt.Errorf("encode process.%s: %w", name, err)
		return
	}
	e.key(name)
	e.b = append(e.b, data...)
}

func (e *encoder) user(u *specs.User) {
	e.open("user")
	e.number("uid", uint64(u.UID))
	e.number("gid", uint64(u.GID))
	if u.Umask != nil {
		e.number("umask", uint64(*u.Umask))
	}
	e.list("additionalGids", len(u.AdditionalGids), func(i int) { e.b = strconv.AppendUint(e.b, uint64(u.AdditionalGids[i]), 10) })
	e.text("username", u.Username)
	e.close()
}

func (e *encoder) capabilities(c *specs.LinuxCapabilities) {
	if c == nil {
		return
	}
	e.open("capabilities")
	e.texts("bounding", c.Bounding)
	e.texts("effective", c.Effective)
	e.texts("inheritable", c.Inheritable)
	e.texts("permitted", c.Permitted)
	e.texts("ambient", c.Ambient)
	e.close()
}

func (e *encoder) rlimits(list []specs.POSIXRlimit) {
	e.list("rlimits", len(list), func(i int) {
		e.open("")
		e.text("type", list[i].Type)
		e.number("hard", list[i].Hard)
		e.number("soft", list[i].Soft)
		e.close()
	})
}
