package specconv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/codec"
)

// MaxConfigSize is the greatest size of config.json in bytes; a larger file is refused before it is read whole.
const MaxConfigSize = 16 << 20

// ConfigName is the name of the configuration in a bundle's folder.
const ConfigName = "config.json"

// Load reads and validates dir/config.json. The error wraps Faults, a *codec.SyntaxError, or what reading the file gave.
func Load(dir string) (*Bundle, error) {
	return load(dir, filepath.Join(dir, ConfigName), true)
}

// LoadFile is Load with the configuration in another file, which may be a pipe: it is then read to its end.
func LoadFile(dir, configPath string) (*Bundle, error) {
	return load(dir, configPath, false)
}

// Examine is Load for who wants to know more than that there are faults: it returns the bundle with them, as far as it could be parsed. err
// is for what stops it before any field is looked at.
func Examine(dir string) (*Bundle, Faults, error) {
	return examine(dir, filepath.Join(dir, ConfigName), true)
}

// load reads and validates the file configPath as the configuration of the bundle in dir.
func load(dir, configPath string, regular bool) (*Bundle, error) {
	b, faults, err := examine(dir, configPath, regular)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%s: %w", configPath, faults)
	}
	return b, nil
}

// examine reads the file. Beyond Parse, it finds a root file system that is not there.
func examine(dir, configPath string, regular bool) (*Bundle, Faults, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("bundle %s: %w", dir, err)
	}
	config, err := readConfig(configPath, regular)
	if err != nil {
		return nil, nil, err
	}
	b, faults, err := parse(config, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", configPath, err)
	}
	if b.Rootfs != "" {
		faults = append(faults, checkRootfs(b.Rootfs)...)
	}
	return b, faults, nil
}

// open opens a file that blocks when it is read. Package os would add it to an epoll instance, which takes five system calls more.
func open(name string, flags int) (*os.File, error) {
	for {
		fd, err := syscall.Open(name, flags|syscall.O_CLOEXEC, 0)
		if err == syscall.EINTR {
			continue
		}
		if err == nil {
			err = syscall.SetNonblock(fd, false)
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// readConfig reads a file of at most MaxConfigSize. With regular it takes no other kind of file: a bundle may come from
// anywhere, and a FIFO in it must not stop its reader, or a device do something.
func readConfig(name string, regular bool) ([]byte, error) {
	flags := os.O_RDONLY
	if regular {
		flags |= syscall.O_NONBLOCK // the open of a FIFO waits for its writer otherwise
	}
	f, err := open(name, flags)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, Problem(name + ": is a folder, not a file")
	case regular && !info.Mode().IsRegular():
		return nil, Problem(name + ": is not a regular file")
	case info.Size() > MaxConfigSize:
		return nil, tooLarge(name + ": ")
	}
	// One byte of room beyond the size lets ReadFull see the end of the file without growing the buffer.
	config := make([]byte, info.Size()+1)
	n, err := io.ReadFull(f, config)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return config[:n], nil
	case err != nil:
		return nil, err
	}
	// The file grew, or is a pipe and has no size.
	rest, err := io.ReadAll(io.LimitReader(f, int64(MaxConfigSize+1-n)))
	if err != nil {
		return nil, err
	}
	if config = append(config, rest...); len(config) > MaxConfigSize {
		return nil, tooLarge(name + ": ")
	}
	return config, nil
}

// tooLarge is the error of what has more than MaxConfigSize bytes.
func tooLarge(where string) Problem {
	return Problem(fmt.Sprintf("%slarger than %d MiB", where, MaxConfigSize>>20))
}

// checkSize finds that a text can be no JSON object, by its length.
func checkSize(text []byte) error {
	switch {
	case len(text) > MaxConfigSize:
		return tooLarge("")
	case len(text) == 0:
		return Problem("empty, where a JSON object is expected")
	}
	return nil
}

// checkRootfs finds a root that is absent. Other errors (no permission, say) are left to the one who mounts it: a plan can
// be made without root's rights.
func checkRootfs(rootfs string) Faults {
	info, err := os.Stat(rootfs)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return Faults{Invalid("root.path", rootfs+" does not exist")}
	case err == nil && !info.IsDir():
		return Faults{Invalid("root.path", rootfs+" is not a folder")}
	}
	return nil
}

// Parse validates config as the config.json of a bundle in dir, which must be absolute. It touches nothing but its
// arguments. The error is a Problem, Faults or a *codec.SyntaxError.
func Parse(config []byte, dir string) (*Bundle, error) {
	b, faults, err := parse(config, dir)
	if err != nil {
		return nil, err
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return b, nil
}

// parse returns the bundle together with its faults; err is for what stops it before any field is looked at.
func parse(config []byte, dir string) (*Bundle, Faults, error) {
	if !filepath.IsAbs(dir) {
		return nil, nil, fmt.Errorf("bundle %q: must be absolute", dir)
	}
	spec := new(specs.Spec)
	c, err := decode(config, "", spec, codec.DecodeSpec)
	if err != nil {
		return nil, nil, err
	}
	c.spec = spec
	b := &Bundle{Dir: filepath.Clean(dir), Spec: spec}
	c.version()
	c.root(b)
	c.mounts(b)
	c.process(spec.Process)
	c.hostname()
	c.hooks()
	c.annotations()
	c.linux(b)
	c.faults = append(c.faults, Unsupported(spec)...)
	b.Warnings, b.Notes = c.warnings, c.notes
	return b, c.faults, nil
}

// decode reads a JSON text. The checker that it returns has found what does not fit its field, and which properties are unknown.
func decode[T any](text []byte, root string, v *T, value func(*codec.Decoder, *T)) (*checker, error) {
	if err := checkSize(text); err != nil {
		return nil, err
	}
	c := &checker{spec: new(specs.Spec)}
	d := codec.Decoder{Root: root, Fault: c.fault, Unknown: func(path string) {
		if len(c.warnings) < maxListed {
			c.warn(path, "unknown property, ignored")
		}
	}}
	if err := codec.Decode(&d, text, v, value); err != nil {
		return nil, err
	}
	c.unread = c.faults
	return c, nil
}

// ParseProcess parses and validates a process as exec --process takes it. Its faults' paths start with "process", and
// the error is as Parse's. warnings name what has no effect.
func ParseProcess(data []byte) (p *specs.Process, warnings []string, err error) {
	return parsePart(data, "process", codec.DecodeProcess, (*checker).process)
}

// parsePart parses and validates a part of a configuration on its own.
func parsePart[T any](data []byte, root string, value func(*codec.Decoder, *T), check func(*checker, *T)) (*T, []string, error) {
	v := new(T)
	c, err := decode(data, root, v, value)
	if err != nil {
		return nil, nil, err
	}
	check(c, v)
	if err := c.faults.err(); err != nil {
		return nil, nil, err
	}
	return v, c.warnings, nil
}

// validate checks a part of a configuration on its own.
func validate[T any](v *T, check func(*checker, *T)) error {
	c := checker{spec: new(specs.Spec)}
	check(&c, v)
	return c.faults.err()
}

// ValidateProcess checks a process as that of config.json is checked; the error is Faults.
func ValidateProcess(p *specs.Process) error { return validate(p, (*checker).process) }
