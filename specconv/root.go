package specconv

import (
	"path"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// version checks ociVersion.
func (c *checker) version() {
	v := c.spec.Version
	major, minor, ok := parseVersion(v)
	switch {
	case v == "":
		c.fault("ociVersion", "is required")
	case !ok:
		c.fault("ociVersion", "must be a semantic version such as "+specs.Version+", not "+strconv.Quote(v))
	case major != specs.VersionMajor:
		c.fault("ociVersion", v+" is not supported: the major version must be "+strconv.Itoa(specs.VersionMajor))
	case minor > specs.VersionMinor:
		c.note("ociVersion", v+" is newer than "+specs.Version+", up to which the specification is known")
	}
}

// parseVersion parses a version of Semantic Versioning 2.0.0.
func parseVersion(v string) (major, minor uint64, ok bool) {
	v, build, hasBuild := strings.Cut(v, "+")
	core, pre, hasPre := strings.Cut(v, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 || hasBuild && !validIdentifiers(build, false) || hasPre && !validIdentifiers(pre, true) {
		return 0, 0, false
	}
	var n [3]uint64
	for i, p := range parts {
		var err error
		if n[i], err = strconv.ParseUint(p, 10, 64); err != nil || len(p) > 1 && p[0] == '0' {
			return 0, 0, false
		}
	}
	return n[0], n[1], true
}

// validIdentifiers checks what follows "-" or "+" in a version: identifiers separated by dots.
// Numeric ones of a pre-release have no leading zeros.
func validIdentifiers(s string, pre bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		digits := true
		for i := 0; i < len(id); i++ {
			switch ch := id[i]; {
			case '0' <= ch && ch <= '9':
			case ch == '-', 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z':
				digits = false
			default:
				return false
			}
		}
		if id == "" || pre && digits && len(id) > 1 && id[0] == '0' {
			return false
		}
	}
	return true
}

// root checks root and sets the bundle's Rootfs.
func (c *checker) root(b *Bundle) {
	r := c.spec.Root
	switch {
	case r == nil:
		c.fault("root", "is required")
		return
	case r.Path == "":
		c.fault("root.path", "is required")
		return
	case hasNUL(r.Path):
		c.fault("root.path", nulProblem)
		return
	}
	b.Rootfs = inBundle(b.Dir, r.Path)
	if r.Readonly && c.has(specs.UserNamespace) { // it has no rights over the runtime's mounts
		c.needs(specs.MountNamespace, "root.readonly")
	}
}

// inBundle returns an absolute path; a relative one starts at the bundle directory.
func inBundle(dir, p string) string {
	if path.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

// maxHostname is __NEW_UTS_LEN of linux/utsname.h.
const maxHostname = 64

// hostname checks hostname and domainname.
func (c *checker) hostname() {
	names := [...]struct{ path, value string }{
		{"hostname", c.spec.Hostname},
		{"domainname", c.spec.Domainname},
	}
	for _, n := range names {
		if n.value == "" {
			continue
		}
		c.needs(specs.UTSNamespace, n.path)
		c.text(n.path, n.value)
		if len(n.value) > maxHostname {
			c.fault(n.path, "must not be longer than "+strconv.Itoa(maxHostname)+" bytes")
		}
	}
}
