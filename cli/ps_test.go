package cli

import (
	"strings"
	"testing"
)

func TestPSRows(t *testing.T) {
	for _, tc := range []struct{ table, want string }{
		{"UID        PID  PPID  C STIME TTY          TIME CMD\nroot         1     0  0 12:56 ?        00:00:00 init 30\nroot        30     1  0 12:56 ?        00:00:00 sleep 1000\n  root     7     1  0 12:56 ?        00:00:00 sh\n",
			"UID        PID  PPID  C STIME TTY          TIME CMD\nroot        30     1  0 12:56 ?        00:00:00 sleep 1000\n  root     7     1  0 12:56 ?        00:00:00 sh\n"},
		{"  PID COMMAND\n   30 sleep\n\n  300 x\n", "  PID COMMAND\n   30 sleep\n"},
		{"  PID\n   30", "  PID\n   30\n"},
		{"  PID TTY          TIME CMD\n", "  PID TTY          TIME CMD\n"},
		{"  PID TTY", "  PID TTY\n"},
		// Errors.
		{"", "no column PID"},
		{"COMMAND\nsleep\n", "no column PID"},
		{"COMMAND PID\nmy program 30\n", "make it the first column"},
		{"COMMAND PID\nsleep\n", "no PID in the row"},
	} {
		got, err := psRows([]byte(tc.table), []int{7, 30})
		if err != nil {
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q: %v, want %q", tc.table, err, tc.want)
			}
		} else if string(got) != tc.want {
			t.Errorf("%q: got\n%s\nwant\n%s", tc.table, got, tc.want)
		}
	}
}

func FuzzPSRows(f *testing.F) {
	f.Add([]byte("UID        PID  PPID\nroot         1     0\nroot        30     1\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		got, err := psRows(table, []int{1, 7})
		if err == nil && len(got) > len(table)+2 {
			t.Errorf("%q became %q", table, got)
		}
	})
}
