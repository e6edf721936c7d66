package libcontainer

import (
	"os/user"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/specconv/codec"
)

// StatusPaused is the status of a container whose cgroup is frozen. The others are runtime-spec's.
const StatusPaused specs.ContainerState = "paused"

// Status is the state of a container as `orlop state` prints it: the OCI state (runtime.md), and
// what runc adds to it.
type Status struct {
	OCIVersion  string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"` // 0 when it has stopped
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	// Owner is the name of the user who created the container, or the UID if that has no name.
	Owner string `json:"owner"`
}

//go:generate go run github.com/orlop/orlop/specconv/codec/gen -encode Status

// JSON returns the status as indented JSON.
func (s *Status) JSON() []byte {
	e := codec.Encoder{Indent: "  "}
	encodeStatus(&e, s)
	return e.Buf
}

// Status returns the container's state. It takes no lock and changes nothing.
func (c *Container) Status() (*Status, error) {
	var s *Status
	err := c.with(unlocked, func(v *view, status specs.ContainerState) error {
		s = statusOf(v.rec, status)
		return nil
	})
	return s, err
}

func statusOf(rec *state.Record, s specs.ContainerState) *Status {
	st := &Status{
		OCIVersion:  rec.OCIVersion,
		ID:          rec.ID,
		Pid:         rec.Pid,
		Status:      s,
		Bundle:      rec.Bundle,
		Rootfs:      rec.Rootfs,
		Created:     rec.Created,
		Annotations: rec.Annotations,
		Owner:       ownerName(rec.Owner),
	}
	if s == specs.StateStopped {
		st.Pid = 0
	}
	return st
}

func ownerName(uid int) string {
	if uid == 0 {
		return "root" // the usual case, without reading /etc/passwd
	}
	n := strconv.Itoa(uid)
	if u, err := user.LookupId(n); err == nil {
		return u.Username
	}
	return n
}
