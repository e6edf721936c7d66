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

// MaxConfigSize is the largest size of config.json in bytes. A larger file is rejected without
// being read to its end.
const MaxConfigSize = 16 << 20

// ConfigName is the name of the configuration file in a bundle directory.
const ConfigName = "config.json"

// Load reads and validates dir/config.json. The error wraps Faults, a *codec.SyntaxError, or the
// error of reading the file.
func Load(dir string) (*Bundle, error) {
	return load(dir, filepath.Join(dir, ConfigName), true)
}

// LoadFile is Load with the configuration in another file. A pipe is read to its end.
func LoadFile(dir, configPath string) (*Bundle, error) {
	return load(dir, configPath, false)
}

// Examine is Load for callers that need more than the faults: it also returns the bundle, as far as
// it could be parsed. err is set if no field could be examined.
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

// examine reads the file. Unlike Parse, it also reports a missing root filesystem.
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

// open opens a file for blocking reads. Package os would add it to an epoll instance, which takes
// five more system calls.
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

// readConfig reads a file of at most MaxConfigSize. With regular it accepts only a regular file: a
// bundle may come from anywhere, and opening it must neither block on a FIFO nor activate a device.
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
		return nil, Problem(name + ": is a directory, not a file")
	case regular && !info.Mode().IsRegular():
		return nil, Problem(name + ": is not a regular file")
	case info.Size() > MaxConfigSize:
		return nil, tooLarge(name + ": ")
	}
	// One spare byte lets ReadFull reach the end of the file without growing the buffer.
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

// tooLarge is the error for a text of more than MaxConfigSize bytes.
func tooLarge(where string) Problem {
	return Problem(fmt.Sprintf("%slarger than %d MiB", where, MaxConfigSize>>20))
}

// checkSize rejects a text that is too long or empty.
func checkSize(text []byte) error {
	switch {
	case len(text) > MaxConfigSize:
		return tooLarge("")
	case len(text) == 0:
		return Problem("empty, where a JSON object is expected")
	}
	return nil
}

// checkRootfs reports a missing root filesystem. Other errors, such as a lack of permission, appear
// when it is mounted: planning needs no privileges.
func checkRootfs(rootfs string) Faults {
	info, err := os.Stat(rootfs)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return Faults{Invalid("root.path", rootfs+" does not exist")}
	case err == nil && !info.IsDir():
		return Faults{Invalid("root.path", rootfs+" is not a directory")}
	}
	return nil
}

// Parse validates config as the config.json of a bundle in dir, which must be absolute. It does no
// I/O. The error is a Problem, Faults or a *codec.SyntaxError.
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

// parse returns the bundle together with its faults. err is set if no field could be examined.
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

// decode reads a JSON text. The returned checker holds the values that do not fit their fields, and
// the unknown properties.
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

// ParseProcess parses and validates the process of exec --process. The paths of its faults start
// with "process"; the error is like Parse's. warnings name what has no effect.
func ParseProcess(data []byte) (p *specs.Process, warnings []string, err error) {
	return parsePart(data, "process", codec.DecodeProcess, (*checker).process)
}

// parsePart parses and validates one part of a configuration.
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

// validate checks one part of a configuration.
func validate[T any](v *T, check func(*checker, *T)) error {
	c := checker{spec: new(specs.Spec)}
	check(&c, v)
	return c.faults.err()
}

// ValidateProcess checks a process like that of config.json. The error is Faults.
func ValidateProcess(p *specs.Process) error { return validate(p, (*checker).process) }
