package specconv

import "golang.org/x/sys/unix"

// propagations is the table of mount propagation modes in mount options and rootfsPropagation.
var propagations = vocabulary[string, uint64]{
	{"private", unix.MS_PRIVATE},
	{"rprivate", unix.MS_PRIVATE | unix.MS_REC},
	{"rshared", unix.MS_SHARED | unix.MS_REC},
	{"rslave", unix.MS_SLAVE | unix.MS_REC},
	{"runbindable", unix.MS_UNBINDABLE | unix.MS_REC},
	{"shared", unix.MS_SHARED},
	{"slave", unix.MS_SLAVE},
	{"unbindable", unix.MS_UNBINDABLE},
}

// PropagationFlag returns the MS_* flags of a propagation mode ("slave", "rslave", ...), and
// whether the mode exists. linux.rootfsPropagation and the mount options share the names.
func PropagationFlag(name string) (uint64, bool) { return propagations.value(name) }
