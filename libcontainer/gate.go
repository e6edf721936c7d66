package libcontainer

import (
	"fmt"
)

// The gate is a pipe, at which the process waits for a byte for each thing that has to be done before it goes on: see setup.Gate.

// goAhead opens the gate before the process stands there, if nothing is to be done at that point: so it does not wait for the runtime, which
// takes 0.15 ms where a processor has to wake up for it.
func (c *creation) goAhead() error {
	hooks, s := c.bundle.Spec.Hooks, &c.options.Streams
	c.ahead = c.direct && !c.steps.ClonesLast() && c.unit == nil && !c.cgroup.None() && c.ready == nil && len(c.bundle.NetDevices) == 0 &&
		(hooks == nil || len(hooks.StartContainer) == 0) && s.PidFile == "" && s.PidfdSocket == "" && s.pidfdReceiver == ""
	if !c.ahead {
		return nil
	}
	return c.openGate()
}

func (c *creation) openGate() error {
	if _, err := c.gate[1].Write([]byte{1}); err != nil {
		return fmt.Errorf("let the process go on: %w", err)
	}
	return nil
}

// letGo lets the process go on: to wait for start, or with direct to its program.
func (c *creation) letGo() error {
	if err := c.lent(); err != nil {
		return err
	}
	if !c.direct {
		return c.birth.proc.Conn.Resume()
	}
	if err := c.runtime.runStartHooks(c.rec, c.dir, c.runtime.stopsAtEnd(c.birth.proc.Pidfd)); err != nil {
		return err
	}
	if !c.ahead {
		if err := c.openGate(); err != nil {
			return err
		}
	}
	if err := c.birth.converse(0); err != nil {
		return err
	}
	c.lending.done()
	// The container runs, and can be used and deleted by others.
	if err := c.dir.Created(); err != nil {
		return err
	}
	return c.runtime.runPoststartHooks(c.dir, c.rec, c.runtime.stops())
}
