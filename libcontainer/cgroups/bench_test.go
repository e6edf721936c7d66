package cgroups

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkContainer measures each part of what a container's cgroups cost.
func BenchmarkContainer(b *testing.B) {
	needRoot(b)
	layout, err := ReadLayout()
	if err != nil {
		b.Fatal(err)
	}
	var r specs.LinuxResources
	dockerResources(b, &r)
	var layoutTime, create, spawn, wait, del time.Duration
	for i := 0; b.Loop(); i++ {
		t0 := time.Now()
		if _, err := ReadLayout(); err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		m, err := New(layout, "", "orlop-test-bench-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(i))
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Create(&r); err != nil {
			b.Fatal(err)
		}
		t2 := time.Now()
		var pid int
		if err = m.Spawn(forkExec(m, m.Joins(), &pid, "/bin/true")); err != nil {
			m.Delete()
			b.Fatal(err)
		}
		t3 := time.Now()
		var ws syscall.WaitStatus
		syscall.Wait4(pid, &ws, 0, nil)
		t4 := time.Now()
		if err := m.Delete(); err != nil {
			b.Fatal(err)
		}
		t5 := time.Now()
		layoutTime += t1.Sub(t0)
		create += t2.Sub(t1)
		spawn += t3.Sub(t2)
		wait += t4.Sub(t3)
		del += t5.Sub(t4)
	}
	for _, part := range []struct {
		time time.Duration
		name string
	}{{layoutTime, "layout"}, {create, "create"}, {spawn, "spawn"}, {wait, "exit"}, {del, "delete"}} {
		b.ReportMetric(float64(part.time.Microseconds())/float64(b.N), part.name+"-µs/op")
	}
}
