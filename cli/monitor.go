package cli

import "golang.org/x/sys/unix"

// monitorSlack is how late the monitor's timers may be, in nanoseconds.
const monitorSlack = "2000000"

// calmMonitor has Go's monitor thread look less often, and returns the timer slack that the program
// was started with, which its children are to have. While anything runs, that thread looks at the
// others every 20 µs, 70 times and more in a run, which took a tenth of the run's processor time
// and kept the container's process from its processor. It is there to take a processor away from
// threads that are long in a system call or in a loop, which here can wait. A coarse timer
// (timerslack_ns of proc(5)) makes it wait for 2 ms.
//
// The monitor is the first thread that a Go program starts, before its first function, and a task
// folder lists threads in the order in which they came. Should that change, another thread has
// coarse timers. So do threads that are started by the monitor: they inherit its slack, and what
// they start would, too. Who lacks CAP_SYS_NICE gets no coarse timers: that costs time, no more.
func calmMonitor() (slack int) {
	slack, _ = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fd, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return slack
	}
	var buf [256]byte
	n, err := unix.ReadDirent(fd, buf[:])
	unix.Close(fd)
	if err != nil {
		return slack
	}
	if _, _, threads := unix.ParseDirent(buf[:n], 2, nil); len(threads) == 2 {
		if fd, err = unix.Open("/proc/"+threads[1]+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			_, _ = unix.Write(fd, []byte(monitorSlack))
			unix.Close(fd)
		}
	}
	return slack
}
