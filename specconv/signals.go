package specconv

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time signals as C programs number them: the kernel's start at 32, but C libraries
// reserve the first two.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// signals is the table of signals (signal(7)), whose numbers are the same on amd64 and arm64. Of
// several names for one number, the usual one comes first.
var signals = vocabulary[string, unix.Signal]{
	{"ABRT", unix.SIGABRT}, {"ALRM", unix.SIGALRM}, {"BUS", unix.SIGBUS}, {"CHLD", unix.SIGCHLD},
	{"CONT", unix.SIGCONT}, {"FPE", unix.SIGFPE}, {"HUP", unix.SIGHUP}, {"ILL", unix.SIGILL},
	{"INT", unix.SIGINT}, {"IO", unix.SIGIO}, {"KILL", unix.SIGKILL}, {"PIPE", unix.SIGPIPE},
	{"PROF", unix.SIGPROF}, {"PWR", unix.SIGPWR}, {"QUIT", unix.SIGQUIT}, {"SEGV", unix.SIGSEGV},
	{"STKFLT", unix.SIGSTKFLT}, {"STOP", unix.SIGSTOP}, {"SYS", unix.SIGSYS}, {"TERM", unix.SIGTERM},
	{"TRAP", unix.SIGTRAP}, {"TSTP", unix.SIGTSTP}, {"TTIN", unix.SIGTTIN}, {"TTOU", unix.SIGTTOU},
	{"URG", unix.SIGURG}, {"USR1", unix.SIGUSR1}, {"USR2", unix.SIGUSR2}, {"VTALRM", unix.SIGVTALRM},
	{"WINCH", unix.SIGWINCH}, {"XCPU", unix.SIGXCPU}, {"XFSZ", unix.SIGXFSZ},
	{"CLD", unix.SIGCHLD}, {"IOT", unix.SIGABRT}, {"POLL", unix.SIGIO}, {"UNUSED", unix.SIGSYS},
}

// SignalNames returns the usual name of each signal that has one.
func SignalNames() []string {
	names := make([]string, 0, len(signals))
	var seen uint64
	for i := range signals {
		if bit := uint64(1) << signals[i].value; seen&bit == 0 {
			seen |= bit
			names = append(names, signals[i].name)
		}
	}
	return names
}

// ParseSignal returns the signal for a name in any case, with or without "SIG" ("TERM", "SIGTERM",
// "RTMIN+3", "RTMAX-1"), or for a number from 1 to 64. It rejects 0, which only probes for a
// process.
func ParseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		if n < 1 || n > sigRTMax {
			return 0, fmt.Errorf("signal %q: must be from 1 to %d", s, sigRTMax)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n, ok := signals.value(name); ok {
		return n, nil
	}
	if n, ok := realTimeSignal(name); ok {
		return n, nil
	}
	return 0, fmt.Errorf("signal %q: unknown", s)
}

// realTimeSignal parses RTMIN, RTMIN+N, RTMAX and RTMAX-N.
func realTimeSignal(name string) (unix.Signal, bool) {
	rest, fromMin := strings.CutPrefix(name, "RTMIN")
	base, sign := sigRTMin, 1
	if !fromMin {
		var ok bool
		if rest, ok = strings.CutPrefix(name, "RTMAX"); !ok {
			return 0, false
		}
		base, sign = sigRTMax, -1
	}
	if rest == "" {
		return unix.Signal(base), true
	}
	if fromMin != (rest[0] == '+') || !fromMin && rest[0] != '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(rest[1:], 10, 8)
	if err != nil || n > sigRTMax-sigRTMin {
		return 0, false
	}
	return unix.Signal(base + sign*int(n)), true
}
