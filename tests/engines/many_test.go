package engines

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	pb "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// load is what TestMany asks for.
type load struct {
	pods, containers int           // containers of each pod
	rate             int           // execs in a second
	time             time.Duration // of these
}

// loadHere is a node's load; of its minute only a part in `make test`, and little of all in the emulated guest.
func loadHere() load {
	switch {
	case testing.Short():
		return load{pods: 2, containers: 4, rate: 1, time: 10 * time.Second}
	case full():
		return load{pods: 5, containers: 10, rate: 20, time: time.Minute}
	}
	return load{pods: 5, containers: 10, rate: 20, time: 10 * time.Second}
}

// TestMany: many containers are started at once, programs are executed in them as probes do, all end at once, and nothing fails
// or is left.
func TestMany(t *testing.T) {
	c, _ := withCRI(t)
	l := loadHere()
	var pods []*pod
	for i := range l.pods {
		pods = append(pods, c.pod(t, fmt.Sprintf("many%d", i)))
	}
	ids := make([]string, l.pods*l.containers)
	timed := func(name string, f func(t *testing.T)) {
		begun := time.Now()
		if t.Run(name, f) {
			t.Logf("%s: %d containers in %v", name, len(ids), time.Since(begun).Round(time.Millisecond))
		}
	}
	timed("start at once", func(t *testing.T) {
		together(t, len(ids), func(i int) (err error) {
			if ids[i], err = pods[i%l.pods].tryCreate(t, fmt.Sprintf("many%d", i)); err == nil {
				_, err = c.StartContainer(c.time(t), &pb.StartContainerRequest{ContainerId: ids[i]})
			}
			return err
		})
	})
	if t.Failed() {
		return
	}
	timed("probes", func(t *testing.T) { testProbes(t, c, l, ids) })
	timed("remove at once", func(t *testing.T) {
		together(t, len(ids), func(i int) error {
			if _, err := c.StopContainer(c.time(t), &pb.StopContainerRequest{ContainerId: ids[i], Timeout: 100}); err != nil {
				return err
			}
			_, err := c.RemoveContainer(c.time(t), &pb.RemoveContainerRequest{ContainerId: ids[i]})
			return err
		})
		list, err := c.ListContainers(c.time(t), &pb.ListContainersRequest{})
		if err != nil || len(list.Containers) > 0 {
			t.Errorf("containers: %v, %v", list, err)
		}
	})
}

// testProbes executes programs in the containers at a steady rate, however long each takes.
func testProbes(t *testing.T, c *cri, l load, ids []string) {
	times := make([]time.Duration, int(l.time.Seconds())*l.rate)
	tick := time.NewTicker(time.Second / time.Duration(l.rate))
	defer tick.Stop()
	together(t, len(times), func(i int) error {
		begun := time.Now()
		text := fmt.Sprintf("probe %d", i)
		done, err := c.ExecSync(c.time(t), &pb.ExecSyncRequest{ContainerId: ids[i%len(ids)], Cmd: []string{"sh", "-c", "echo " + text}})
		times[i] = time.Since(begun)
		if err != nil {
			return err
		}
		if done.ExitCode != 0 || string(done.Stdout) != text+"\n" {
			return fmt.Errorf("status %d, output %q, want %q", done.ExitCode, done.Stdout, text)
		}
		return nil
	}, tick.C)
	slices.Sort(times)
	t.Logf("%d execs, %d in a second: median %v, longest %v", len(times), l.rate,
		times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
}

// together calls a function n times, all at once or each at a tick, and waits for all to end.
func together(t *testing.T, n int, f func(i int) error, ticks ...<-chan time.Time) {
	t.Helper()
	var group sync.WaitGroup
	failures := make([]error, n)
	for i := range n {
		for _, tick := range ticks {
			<-tick
		}
		group.Go(func() { failures[i] = f(i) })
	}
	group.Wait()
	for i, err := range failures {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}
