package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// EventType says what an Event is about.
type EventType string

const (
	// EventOOM: the container ran out of memory, and the kernel killed a process. What exactly the
	// kernel reports differs between cgroup v1 and cgroup2: see cgroups.OOMWatch.
	EventOOM EventType = "oom"
	// EventStats: the container's counters, once per interval.
	EventStats EventType = "stats"
)

// An Event is something that happened in a container. Encoded as JSON it is what `orlop events`
// prints, in runc's shape.
type Event struct {
	Type  EventType `json:"type"`
	ID    string    `json:"id"`
	Stats *Stats    `json:"data,omitempty"` // of EventStats
}

// Events yields the container's events: each time that it runs out of memory, and its counters once
// per interval, unless that is 0.
//
//	for event, err := range container.Events(ctx, 5*time.Second) {
//
// The loop ends when the container stops; an EventOOM comes before the end that it leads to. An
// error ends it as well: that of ctx, ErrNotRunning when the container does not run, ErrNoCgroup
// when it has none, or why it cannot be watched. Warn gets a message when counters cannot be read,
// and when there is no memory controller and so no EventOOM.
//
// A wait holds four file descriptors, no thread, and does not poll.
func (c *Container) Events(ctx context.Context, interval time.Duration) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w, process, err := c.watch()
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer process.Close()
		defer w.Close()
		if !w.Sees() {
			c.runtime.warn(fmt.Sprintf("container %q: no memory controller: lack of memory goes unseen", c.id))
		}
		next := time.Now().Add(interval)
		for {
			err := waitUntil(ctx, w, interval, next)
			event := Event{Type: EventOOM, ID: c.id}
			switch {
			case err == nil:
			case errors.Is(err, io.EOF):
				return
			case ctx.Err() != nil:
				yield(Event{}, ctx.Err())
				return
			case errors.Is(err, context.DeadlineExceeded):
				if next = next.Add(interval); next.Before(time.Now()) { // whoever asked for the last one was slow
					next = time.Now().Add(interval)
				}
				event.Type = EventStats
				if event.Stats, err = c.Stats(); err != nil {
					if !errors.Is(err, ErrNotRunning) && !errors.Is(err, ErrNotExist) { // of which Wait tells
						c.runtime.warn(err.Error())
					}
					continue
				}
			default:
				yield(Event{}, c.wrap(err))
				return
			}
			if !yield(event, nil) {
				return
			}
		}
	}
}

// waitUntil waits for lack of memory until next, if there is an interval.
func waitUntil(ctx context.Context, w *cgroups.OOMWatch, interval time.Duration, next time.Time) error {
	if interval <= 0 {
		return w.Wait(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, next)
	defer cancel()
	return w.Wait(ctx)
}

// watch starts to watch the container. The caller closes both results, the watch first.
func (c *Container) watch() (w *cgroups.OOMWatch, process *os.File, err error) {
	err = c.with(unlocked, func(v *view, status specs.ContainerState) error {
		if status == specs.StateStopped || status == specs.StateCreating {
			return ErrNotRunning
		}
		cgroup, err := v.placement().Cgroup()
		if err != nil {
			return err
		}
		if process, err = v.pidfd(); err != nil {
			return err
		}
		if w, err = cgroup.WatchOOM(process); err == nil {
			return nil
		}
		process.Close()
		if alive, aliveErr := sys.Alive(v.rec.Pid, v.rec.StartTime); aliveErr == nil && !alive {
			return ErrNotRunning // it was deleted meanwhile, and its cgroup with it
		}
		return err
	})
	return w, process, err
}
