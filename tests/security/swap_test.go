package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

const (
	// rounds is the number of attempts of each race, unless the time is up before or `make attacks`
	// requests another number.
	rounds    = 1000
	timeLimit = 20 * time.Second
)

// swapper is the neighbour: it exchanges pairs of names in a directory until it is stopped.
type swapper struct {
	stop  chan struct{}
	once  sync.Once
	ended chan error
	swaps atomic.Int64
}

// swap starts to exchange names: the first with the second, the third with the fourth, and so on.
func swap(t *testing.T, dir string, names ...string) *swapper {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	s := &swapper{stop: make(chan struct{}), ended: make(chan error, 1)}
	t.Cleanup(s.halt) // before the directory is removed
	go func() {
		defer unix.Close(fd)
		for {
			for i := 0; i+1 < len(names); i += 2 {
				err := unix.Renameat2(fd, names[i], fd, names[i+1], unix.RENAME_EXCHANGE)
				switch err {
				case nil:
					s.swaps.Add(1)
				case unix.ENOENT: // the runtime recreates one of them
				default:
					s.ended <- fmt.Errorf("exchange %s and %s: %w", names[i], names[i+1], err)
					return
				}
			}
			select {
			case <-s.stop:
				s.ended <- nil
				return
			default:
			}
		}
	}()
	return s
}

func (s *swapper) halt() { s.once.Do(func() { close(s.stop) }) }

// end stops the swapper, once.
func (s *swapper) end(t *testing.T) {
	t.Helper()
	s.halt()
	must(t, <-s.ended)
	t.Logf("%d swaps", s.swaps.Load())
	if s.swaps.Load() == 0 {
		t.Error("nothing was swapped: there was no race")
	}
}

// race runs containers beside the neighbour, until the number or the time is reached, and calls
// good for those that are created. The others must have been refused, which is an acceptable result
// of an attack.
func race(t *testing.T, times int, neighbour *swapper, run func() harness.Result, good func(harness.Result)) {
	t.Helper()
	times, limit := bounded(t, times)
	check := unharmed(t)
	start, made, tried, refused := time.Now(), 0, 0, make(map[string]int)
	for ; tried < times && (made == 0 || time.Since(start) < limit) && !t.Failed(); tried++ {
		r := run()
		if r.Status != 0 {
			_, cause, _ := strings.Cut(r.Stderr, `": `) // after the container's name
			refused[strings.TrimSpace(cause)]++
			continue
		}
		made++
		good(r)
	}
	check()
	report(t, tried)
	neighbour.end(t)
	t.Logf("%d of %d containers came to be in %v; refused: %v", made, tried, time.Since(start).Round(time.Millisecond), refused)
	if made == 0 {
		t.Error("no container came to be: nothing was tried")
	}
}

// outside makes a directory of the host that must not be touched, with the targets of attacks.
// check fails the test if it was touched.
func outside(t *testing.T, b *harness.Box) (dir string, check func()) {
	t.Helper()
	dir = directory(t, filepath.Join(b.Dir, "outside"))
	for _, name := range []string{"file", "null", "ptmx", "console", "bound", "shm_rmid_forced", "kcore", "sys", "self"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	directory(t, filepath.Join(dir, "a"))
	directory(t, filepath.Join(dir, "pts"))
	before := harness.Tree(t, dir)
	return dir, func() {
		t.Helper()
		if after := harness.Tree(t, dir); after != before {
			t.Errorf("outside the root there is\n%s\nwas\n%s", after, before)
		}
	}
}

func directory(t *testing.T, path string) string {
	t.Helper()
	must(t, os.MkdirAll(path, 0o755))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
