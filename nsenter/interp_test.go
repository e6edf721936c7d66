package nsenter

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The observable results of a program.
type observation struct {
	Status   int      // of the process; negative: the signal that ended it
	Dump     []byte   // registers and data, each time the program wrote them
	Mem      []byte   // the file that it worked on
	Pipe     []byte   // the data left in the pipe
	Messages [][]byte // on the channel
}

// diff describes a difference from another observation, or returns "".
func (o *observation) diff(other *observation) string {
	if o.Status != other.Status {
		return fmt.Sprintf("status %d and %d", o.Status, other.Status)
	}
	for i := range max(len(o.Messages), len(other.Messages)) {
		var a, b []byte
		if i < len(o.Messages) {
			a = o.Messages[i]
		}
		if i < len(other.Messages) {
			b = other.Messages[i]
		}
		if !bytes.Equal(a, b) {
			return fmt.Sprintf("message %d is %x and %x", i, a, b)
		}
	}
	for _, c := range []struct {
		name string
		a, b []byte
	}{{"registers and data", o.Dump, other.Dump}, {"the file", o.Mem, other.Mem}, {"the pipe", o.Pipe, other.Pipe}} {
		if len(c.a) != len(c.b) {
			return fmt.Sprintf("%s: %d and %d bytes", c.name, len(c.a), len(c.b))
		}
		for i := range c.a {
			if c.a[i] != c.b[i] {
				return fmt.Sprintf("%s: byte %d is %#x and %#x", c.name, i, c.a[i], c.b[i])
			}
		}
	}
	return ""
}

// A world has the descriptors for one run of a random program.
type world struct{ mem, loop, dump, pipeRead, pipeWrite *os.File }

func newWorld() (*world, error) {
	w := &world{}
	var err error
	content := make([]byte, 100)
	for i := range content {
		content[i] = byte(i*7 + 1)
	}
	for _, f := range []struct {
		to      **os.File
		content []byte
	}{{&w.mem, content}, {&w.loop, content[:16]}, {&w.dump, nil}} {
		if *f.to, err = memfd(f.content); err != nil {
			w.close()
			return nil, err
		}
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		w.close()
		return nil, err
	}
	w.pipeRead, w.pipeWrite = os.NewFile(uintptr(pipe[0]), "pipe"), os.NewFile(uintptr(pipe[1]), "pipe")
	return w, nil
}

func memfd(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	if _, err := f.WriteAt(content, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (w *world) files() []NamedFile {
	return []NamedFile{
		{string(memFD), w.mem}, {string(loopFD), w.loop}, {string(dumpFD), w.dump},
		{string(readFD), w.pipeRead}, {string(writeFD), w.pipeWrite},
	}
}

func (w *world) close() {
	for _, f := range w.files() {
		if f.File != nil {
			f.File.Close()
		}
	}
}

// observe reads the results of a run.
func (w *world) observe(o *observation) (err error) {
	for _, f := range []struct {
		from *os.File
		to   *[]byte
	}{{w.mem, &o.Mem}, {w.dump, &o.Dump}} {
		if *f.to, err = io.ReadAll(io.NewSectionReader(f.from, 0, 1<<24)); err != nil {
			return err
		}
	}
	w.pipeWrite.Close()
	o.Pipe, err = io.ReadAll(w.pipeRead)
	return err
}

// receiveAll reads the channel until its other end is closed everywhere.
func receiveAll(channel *os.File) [][]byte {
	var all [][]byte
	buf := make([]byte, 64)
	for {
		n, _, err := unix.Recvfrom(int(channel.Fd()), buf, 0)
		if err != nil || n == 0 {
			return all
		}
		all = append(all, bytes.Clone(buf[:n]))
	}
}

// runImage runs the program's image in a process.
func runImage(p *Program) (*observation, error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	defer w.close()
	l, err := Prepare(p, Start{Files: w.files()})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	proc, err := l.Start(-1)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	o := &observation{Messages: receiveAll(proc.Conn.file)}
	status, err := proc.Wait()
	if err != nil {
		return nil, err
	}
	if o.Status = status.ExitStatus(); status.Signaled() {
		o.Status = -int(status.Signal())
	}
	return o, w.observe(o)
}

// runProgram runs the program with the reference interpreter. It also returns the image that it
// corresponds to.
func runProgram(p *Program) (*observation, *Image, error) {
	w, err := newWorld()
	if err != nil {
		return nil, nil, err
	}
	defer w.close()
	// The process is not started; it only gets its channel and the numbers of its descriptors.
	l, err := Prepare(p, Start{Files: w.files()})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	fds := map[string]int{channelName: 3}
	for i, f := range w.files() {
		fds[f.Name] = 4 + i
	}
	image, err := p.Image(fds)
	if err != nil {
		return nil, nil, err
	}
	received := make(chan [][]byte)
	go func() { received <- receiveAll(l.channel[0]) }()
	end, err := runReference(p, fds, l.files)
	l.channel[1].Close()
	o := &observation{Status: end.status, Messages: <-received}
	if err == nil && end.fault != "" {
		err = fmt.Errorf("the program %s", end.fault)
	}
	if err != nil {
		return nil, nil, err
	}
	return o, image, w.observe(o)
}

func checkInterpreters(t *testing.T, decisions []byte) *observation {
	t.Helper()
	c := choices(decisions)
	p := randomProgram(&c)
	want, _, err := runProgram(p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := runImage(p)
	if err != nil {
		t.Fatal(err)
	}
	if d := want.diff(got); d != "" {
		t.Errorf("reference and image differ: %s\ndecisions: %x\n%s", d, decisions, listing(p))
	}
	return want
}

// listing formats a program for debugging.
func listing(p *Program) string {
	var b bytes.Buffer
	for i, op := range p.Ops() {
		fmt.Fprintf(&b, "%3d %s", i, op.Name())
		for _, a := range op.args {
			switch a.kind {
			case register:
				fmt.Fprintf(&b, " r%d", a.value)
			case descriptor:
				fmt.Fprintf(&b, " fd(%s)", p.names[a.value])
			default:
				fmt.Fprintf(&b, " %#x", a.value)
			}
		}
		fmt.Fprintf(&b, " -> r%d, errors %d at %d, zero at %d\n", op.dst, op.errnos, op.onError, op.onZero)
	}
	fmt.Fprintf(&b, "labels %d\n", p.labels)
	return b.String()
}

// seeded returns the decisions of random program number n.
func seeded(n int) []byte {
	decisions := make([]byte, 700)
	r := rand.New(rand.NewPCG(uint64(n), 0))
	for i := range decisions {
		decisions[i] = byte(r.Uint32())
	}
	return decisions
}

func TestInterpreters(t *testing.T) {
	var failures, exits, messages, dumps int
	for n := range 400 {
		o := checkInterpreters(t, seeded(n))
		if t.Failed() {
			t.Fatalf("program %d", n)
		}
		exits++
		for _, m := range o.Messages {
			if m[0] == kindFailure {
				failures++
				exits--
				break
			}
		}
		messages += len(o.Messages)
		dumps += len(o.Dump) / heapOffset
	}
	t.Logf("%d programs ended without a failure, %d with one; %d messages, about %d dumps", exits, failures, messages, dumps)
	if failures < 50 || exits < 50 || messages < 100 || dumps < 100 {
		t.Error("the random programs are too much alike to show anything")
	}
}

// It runs some hundred programs a second; with -fuzzminimizetime=10x it does not spend the first
// minute on minimizing.
func FuzzInterpreters(f *testing.F) {
	for n := range 20 {
		f.Add(seeded(1000 + n))
	}
	f.Fuzz(func(t *testing.T, decisions []byte) { checkInterpreters(t, decisions) })
}
