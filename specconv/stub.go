package specconv

import (
	"errors"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// MaxConfigSize is the greatest size of config.json in bytes; a larger file is refused before it is read whole.
const MaxConfigSize = 16 << 20

var errStub = errors.New("not yet")

func itoa(n int) string { return strconv.Itoa(n) }

// Load reads and validates dir/config.json.
func Load(dir string) (*Bundle, error) { return nil, errStub }

// LoadFile reads and validates configPath as the configuration of the bundle in dir.
func LoadFile(dir, configPath string) (*Bundle, error) { return nil, errStub }

// Parse validates config as the config.json of a bundle in dir, which must be absolute.
func Parse(config []byte, dir string) (*Bundle, error) { return nil, errStub }

// ParseProcess parses and validates a process as exec --process takes it; its faults' paths start with "process".
func ParseProcess(data []byte) (*specs.Process, error) { return nil, errStub }

// ValidateProcess checks a process as that of config.json is checked.
func ValidateProcess(p *specs.Process) error { return errStub }

// MountOptionNames returns all mount options that are recognised, sorted.
func MountOptionNames() []string { return nil }

// ParseSignal returns the signal of a name or number: "TERM", "SIGTERM", "term", "15", "RTMIN+3".
func ParseSignal(s string) (unix.Signal, error) { return 0, errStub }

// ValidateID checks a container's id.
func ValidateID(id string) error { return errStub }

// Example returns the configuration that the spec command prints.
func Example() *specs.Spec { return nil }

// ToRootless changes s so that the user uid:gid can run it without privileges.
func ToRootless(s *specs.Spec, uid, gid uint32) {}

// SeccompFault returns the fault of a configuration with a seccomp profile, nil when there is none.
func SeccompFault(s *specs.Spec) *Fault { return nil }

// Unsupported lists the fields that are set but not implemented yet.
func Unsupported(s *specs.Spec) Faults { return nil }
