package cgroups

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// cgroup2 has no control files for devices. Instead a BPF program of type
// BPF_PROG_TYPE_CGROUP_DEVICE (since kernel 4.15) runs for each open and mknod, and returns 1 or 0.
// When several are attached, all must agree.

// instruction is the kernel's struct bpf_insn. The registers are a bit field of it, whose order
// depends on the byte order; amd64 and arm64 are little-endian: the destination is the low half.
type instruction struct {
	op        uint8
	registers uint8
	offset    int16
	imm       int32
}

// The opcodes in use: bpf(2), include/uapi/linux/bpf.h. Arithmetic and jumps have 64 bits, and an
// immediate operand except where the name says "Reg".
const (
	opLoad32 = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
	opAnd    = unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K
	opShift  = unix.BPF_ALU64 | unix.BPF_RSH | unix.BPF_K
	opMov    = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
	opMovReg = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
	opJumpNE = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
	opJumpEQ = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opExit   = unix.BPF_JMP | unix.BPF_EXIT
)

// The program's registers.
const (
	regResult = 0 // also the scratch register
	regCtx    = 1 // struct bpf_cgroup_dev_ctx: access_type, major, minor
	regKind   = 2
	regWanted = 3 // the operations that no rule has decided about yet
	regMajor  = 4
	regMinor  = 5
)

// deviceProgram returns the program that enforces the rules. It checks them from the last to the
// first, since the last match decides, and it decides about each operation separately: an operation
// that a rule allows is removed from the request. When nothing is left, the answer is yes; the
// first rule that denies one of the rest makes it no.
func deviceProgram(rules []deviceRule) []instruction {
	insn := func(op uint8, dst, src uint8, offset int16, imm int32) instruction {
		return instruction{op, dst | src<<4, offset, imm}
	}
	p := []instruction{
		insn(opLoad32, regKind, regCtx, 0, 0),
		insn(opAnd, regKind, 0, 0, 0xffff),
		insn(opLoad32, regWanted, regCtx, 0, 0),
		insn(opShift, regWanted, 0, 0, 16),
		insn(opLoad32, regMajor, regCtx, 4, 0),
		insn(opLoad32, regMinor, regCtx, 8, 0),
	}
	verdict := func(allow bool) {
		result := int32(0)
		if allow {
			result = 1
		}
		p = append(p, insn(opMov, regResult, 0, 0, result), insn(opExit, 0, 0, 0, 0))
	}
	for i := len(rules) - 1; i >= 0; i-- {
		r := &rules[i]
		if r.everything() {
			// The verifier rejects unreachable instructions, and all from here on would be.
			verdict(r.allow)
			return p
		}
		if r.access == 0 {
			continue
		}
		var toNext []int // jumps to the next rule
		unless := func(op, register uint8, imm int32) {
			toNext = append(toNext, len(p))
			p = append(p, insn(op, register, 0, 0, imm))
		}
		switch r.kind {
		case 'b':
			unless(opJumpNE, regKind, unix.BPF_DEVCG_DEV_BLOCK)
		case 'c':
			unless(opJumpNE, regKind, unix.BPF_DEVCG_DEV_CHAR)
		}
		if r.major != anyNumber {
			unless(opJumpNE, regMajor, int32(r.major))
		}
		if r.minor != anyNumber {
			unless(opJumpNE, regMinor, int32(r.minor))
		}
		switch {
		case r.access == mayAll:
		case r.allow:
			p = append(p, insn(opAnd, regWanted, 0, 0, int32(mayAll&^r.access)))
			unless(opJumpNE, regWanted, 0)
		default:
			p = append(p, insn(opMovReg, regResult, regWanted, 0, 0), insn(opAnd, regResult, 0, 0, int32(r.access)))
			unless(opJumpEQ, regResult, 0)
		}
		verdict(r.allow)
		for _, at := range toNext {
			p[at].offset = int16(len(p) - at - 1)
		}
	}
	verdict(false)
	return p
}

// attachDevices makes the program the one device program of the cgroup2 directory. It replaces an
// existing one atomically (since kernel 5.6), so exactly one of both is in force at any time. Where
// that is impossible both are for a moment, and what either forbids is forbidden.
func attachDevices(dir string, program []instruction) error {
	prog, err := loadDevices(program)
	if err != nil {
		return fmt.Errorf("load BPF device program of %d instructions: %w", len(program), err)
	}
	defer unix.Close(prog)
	old, err := attachedDevices(dir)
	if err != nil {
		return err
	}
	defer old.close()
	if len(old.programs) == 1 && old.attach(prog, unix.BPF_F_ALLOW_MULTI|unix.BPF_F_REPLACE, old.programs[0].fd) == nil {
		return nil
	}
	if err := old.attach(prog, unix.BPF_F_ALLOW_MULTI, 0); err != nil {
		return fmt.Errorf("attach BPF device program to %s: %w", dir, err)
	}
	return old.detach(old.programs)
}

// cgroupPrograms are the device programs of a cgroup2 directory.
type cgroupPrograms struct {
	dir      string
	fd       int // of the directory
	programs []deviceProgramFile
}

// A deviceProgramFile is a device program in the kernel.
type deviceProgramFile struct {
	id uint32
	fd int
}

func (c *cgroupPrograms) close() {
	unix.Close(c.fd)
	closePrograms(c.programs)
}

func closePrograms(list []deviceProgramFile) {
	for _, p := range list {
		unix.Close(p.fd)
	}
}

func (c *cgroupPrograms) attach(prog int, flags uint32, replaced int) error {
	return c.change(unix.BPF_PROG_ATTACH, prog, flags, replaced)
}

func (c *cgroupPrograms) detach(list []deviceProgramFile) error {
	for _, p := range list {
		if err := c.change(unix.BPF_PROG_DETACH, p.fd, 0, 0); err != nil {
			return fmt.Errorf("detach old BPF device program from %s: %w", c.dir, err)
		}
	}
	return nil
}

func (c *cgroupPrograms) change(command, prog int, flags uint32, replaced int) error {
	// The part of union bpf_attr for BPF_PROG_ATTACH and BPF_PROG_DETACH.
	attr := struct{ target, prog, kind, flags, replaced uint32 }{uint32(c.fd), uint32(prog), unix.BPF_CGROUP_DEVICE, flags, uint32(replaced)}
	_, err := bpf(command, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

func loadDevices(program []instruction) (int, error) {
	// Only programs that call GPL helpers must be GPL; this one calls none.
	license := []byte("Apache-2.0\x00")
	name := [16]byte{'o', 'r', 'l', 'o', 'p', '_', 'd', 'e', 'v', 'i', 'c', 'e', 's'}
	attr := struct {
		kind, count          uint32
		instructions         unsafe.Pointer // 64 bits on all supported architectures
		license              unsafe.Pointer
		logLevel, logSize    uint32
		log                  unsafe.Pointer
		kernelVersion, flags uint32
		name                 [16]byte
		ifindex, attachType  uint32
	}{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(program)),
		instructions: unsafe.Pointer(&program[0]), license: unsafe.Pointer(&license[0]), name: name,
	}
	return bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// attachedDevices opens a cgroup2 directory and the device programs that are attached to the cgroup
// itself.
func attachedDevices(dir string) (_ *cgroupPrograms, err error) {
	c := &cgroupPrograms{dir: dir}
	if c.fd, err = sys.OpenFd(dir, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer func() {
		if err != nil {
			c.close()
			err = fmt.Errorf("query BPF device programs of %s: %w", dir, err)
		}
	}()
	var ids [64]uint32 // the kernel's BPF_CGROUP_MAX_PROGS
	query := struct {
		target, kind, queryFlags, attachFlags uint32
		ids                                   unsafe.Pointer
		count, _                              uint32
		attachFlagsPerProg                    unsafe.Pointer
	}{target: uint32(c.fd), kind: unix.BPF_CGROUP_DEVICE, ids: unsafe.Pointer(&ids[0]), count: uint32(len(ids))}
	if _, err = bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query)); err != nil {
		return nil, err
	}
	for _, id := range ids[:query.count] {
		get := struct{ id, next, flags uint32 }{id: id}
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&get), unsafe.Sizeof(get))
		if err == unix.ENOENT { // detached meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		c.programs = append(c.programs, deviceProgramFile{id, fd})
	}
	return c, nil
}

// bpf calls bpf(2). The descriptors that it returns are close-on-exec.
func bpf(command int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR, unix.EAGAIN: // the verifier was interrupted by a signal
		default:
			return -1, errno
		}
	}
}
