package cli

import (
	"slices"
	"strconv"
	"time"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func (p *program) stateCommand() *command {
	return &command{
		usage:       "print the state of a container",
		argsUsage:   idUsage,
		description: "Prints the state as the OCI runtime specification has it, and what runc adds to that, as JSON.",
		action: p.oneContainer(func(container *libcontainer.Container) error {
			s, err := container.Status()
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(append(appendStatus(nil, s), '\n'))
			return err
		}),
	}
}

// appendStatus appends a status as json.MarshalIndent has it, in runc's order. It is written out by hand to be quick:
// engines ask often.
func appendStatus(b []byte, s *libcontainer.Status) []byte {
	field := func(key, value string) {
		b = specconv.AppendJSON(append(b, "\n  "...), key)
		b = append(specconv.AppendJSON(append(b, ": "...), value), ',')
	}
	b = append(b, '{')
	field("ociVersion", s.OCIVersion)
	field("id", s.ID)
	b = append(strconv.AppendInt(append(b, "\n  \"pid\": "...), int64(s.Pid), 10), ',')
	field("status", string(s.Status))
	field("bundle", s.Bundle)
	field("rootfs", s.Rootfs)
	field("created", s.Created.Format(time.RFC3339Nano))
	if len(s.Annotations) > 0 {
		b = append(b, "\n  \"annotations\": {"...)
		keys := make([]string, 0, len(s.Annotations))
		for key := range s.Annotations {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for i, key := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = specconv.AppendJSON(append(b, "\n    "...), key)
			b = specconv.AppendJSON(append(b, ": "...), s.Annotations[key])
		}
		b = append(b, "\n  },"...)
	}
	b = specconv.AppendJSON(append(b, "\n  \"owner\": "...), s.Owner)
	return append(b, "\n}"...)
}
