package nsenter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Image is a program as a static ELF executable: a segment that can be read and executed
// (headers, interpreter, operations) and one that can be read and written (report, registers,
// data).
type Image struct {
	text []byte
	data []byte
}

const (
	elfHeaderSize     = 64
	programHeaderSize = 56
	programHeaders    = 3
	codeOffset        = 256   // of the interpreter, and so the entry point
	opsOffset         = 0x400 // of the operations; the interpreter contains it, and both bases
	opSize            = 64
	maxOps            = 60000 // keeps the end of the text below the data
)

// interpreterEnd follows the interpreter's last instruction.
var interpreterEnd = [16]byte{'o', 'r', 'l', 'o', 'p', '.', 'e', 'n', 'd', '.', '~', '~', '~', '~', '~', '~'}

func interpreterStart() *byte

// interpreterCode returns the interpreter's instructions, which are in the running binary's own
// text.
func interpreterCode() ([]byte, error) {
	code := unsafe.Slice(interpreterStart(), opsOffset-codeOffset+len(interpreterEnd))
	n := bytes.Index(code, interpreterEnd[:])
	if n < 0 {
		return nil, errors.New("program: the interpreter is larger than its space in the image")
	}
	return code[:n], nil
}

// Image encodes the program. fds maps the name of each descriptor in the program to its number in
// the new process.
func (p *Program) Image(fds map[string]int) (*Image, error) {
	if p.err != nil {
		return nil, p.err
	}
	code, err := interpreterCode()
	if err != nil {
		return nil, err
	}
	if p.count+1 > maxOps {
		return nil, fmt.Errorf("program: %d operations, %d at most", p.count, maxOps-1)
	}
	text := make([]byte, opsOffset+opSize*(p.count+1))
	copy(text[codeOffset:], code)
	if err := p.encodeOps(text[opsOffset:], fds); err != nil {
		return nil, err
	}
	data := make([]byte, heapOffset, heapOffset+len(p.data))
	if n, ok := fds[channelName]; ok {
		binary.LittleEndian.PutUint64(data[regsOffset+8*int(Channel):], uint64(n))
	}
	data = append(data, p.data...)
	writeHeaders(text, len(data))
	return &Image{text: text, data: data}, nil
}

// encodeOps writes the records that the interpreter reads; the last one is the exit. interp_amd64.s
// describes their layout.
func (p *Program) encodeOps(out []byte, fds map[string]int) error {
	exit := Op{code: unix.SYS_EXIT_GROUP, dst: noRegister}
	exit.args[0] = Int(ExitFailed).operand(p)
	for i := range p.count + 1 {
		op := &exit
		if i < p.count {
			op = &p.ops[i/opBlock][i%opBlock]
		}
		if err := p.encodeOp(out[i*opSize:(i+1)*opSize], i, op, fds); err != nil {
			return fmt.Errorf("program: operation %d (%s, step %d): %w", i, op.Name(), op.Step, err)
		}
	}
	return nil
}

func (p *Program) encodeOp(rec []byte, index int, op *Op, fds map[string]int) error {
	if op.mistake != nil {
		return op.mistake
	}
	le := binary.LittleEndian
	le.PutUint16(rec, op.code)
	rec[3] = op.dst
	le.PutUint16(rec[4:], op.errnos[0])
	le.PutUint16(rec[6:], op.errnos[1])
	onError, err := p.target(op.onError, index)
	if err != nil {
		return err
	}
	onZero, err := p.target(op.onZero, index)
	if err != nil {
		return err
	}
	le.PutUint16(rec[8:], onError)
	le.PutUint16(rec[10:], onZero)
	for j, a := range op.args {
		v := a.value
		switch a.kind {
		case register:
			if v >= maxRegisters {
				return fmt.Errorf("register %d does not exist", v)
			}
			rec[2] |= 1 << j
		case descriptor, aboveDescriptor:
			n, ok := fds[p.names[v]]
			if !ok {
				return fmt.Errorf("descriptor %q is not passed", p.names[v])
			}
			v = uint64(n)
			if a.kind == aboveDescriptor {
				v++
			}
		}
		le.PutUint64(rec[16+8*j:], v)
	}
	return nil
}

// target returns the index of the operation that a label precedes. 0 means that there is no label,
// so no operation can jump to the first one.
func (p *Program) target(l Label, index int) (uint16, error) {
	switch {
	case l == noLabel:
		return 0, nil
	case l == nextOp:
		return uint16(index + 1), nil
	case l == exitOp:
		return uint16(p.count), nil
	case l < 0 || int(l) > len(p.labels):
		return 0, fmt.Errorf("label %d is not one of this program's", l)
	case p.labels[l-1] < 0:
		return 0, fmt.Errorf("label %d is not placed", l)
	case p.labels[l-1] == 0:
		return 0, fmt.Errorf("label %d is before the first operation", l)
	}
	return uint16(p.labels[l-1]), nil
}

// writeHeaders puts the ELF header and the program headers in front of the text.
func writeHeaders(text []byte, dataSize int) {
	le := binary.LittleEndian
	copy(text, "\x7fELF\x02\x01\x01")
	le.PutUint16(text[16:], 2) // ET_EXEC
	le.PutUint16(text[18:], elfMachine)
	le.PutUint32(text[20:], 1)
	le.PutUint64(text[24:], textBase+codeOffset)
	le.PutUint64(text[32:], elfHeaderSize)
	le.PutUint16(text[52:], elfHeaderSize)
	le.PutUint16(text[54:], programHeaderSize)
	le.PutUint16(text[56:], programHeaders)

	segment := func(i int, kind, flags uint32, offset, address, size, align uint64) {
		h := text[elfHeaderSize+i*programHeaderSize:]
		le.PutUint32(h, kind)
		le.PutUint32(h[4:], flags)
		le.PutUint64(h[8:], offset)
		le.PutUint64(h[16:], address)
		le.PutUint64(h[24:], address)
		le.PutUint64(h[32:], size)
		le.PutUint64(h[40:], size)
		le.PutUint64(h[48:], align)
	}
	const (
		load     = 1
		gnuStack = 0x6474e551
		x, w, r  = 1, 2, 4
	)
	segment(0, load, r|x, 0, textBase, uint64(len(text)), segmentAlign)
	segment(1, load, r|w, uint64(dataFileOffset(len(text))), dataBase, uint64(dataSize), segmentAlign)
	segment(2, gnuStack, r|w, 0, 0, 0, 16) // not executable
}

// dataFileOffset returns the offset of the data segment in the file: the kernel maps whole pages.
// The gap before it is a hole.
func dataFileOffset(textSize int) int {
	return (textSize + segmentAlign - 1) &^ (segmentAlign - 1)
}

// Bytes returns the image as a file.
func (im *Image) Bytes() []byte {
	off := dataFileOffset(len(im.text))
	b := make([]byte, off+len(im.data))
	copy(b, im.text)
	copy(b[off:], im.data)
	return b
}
