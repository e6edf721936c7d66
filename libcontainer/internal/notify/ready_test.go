package notify

import (
	"bytes"
	"testing"
)

// FuzzReady: a message reports that the container is ready if and only if one of its lines does, up
// to NUL bytes at the end.
func FuzzReady(f *testing.F) {
	for _, message := range []string{"READY=1", "STATUS=up\nREADY=1\n", "READY=1\x00", "READY=10\n", "XREADY=1", "\nREADY=1\x00\n\x00"} {
		f.Add([]byte(message))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		want := false
		for _, line := range bytes.Split(message, []byte("\n")) {
			want = want || string(bytes.TrimRight(line, "\x00")) == "READY=1"
		}
		if got := saysReady(string(message)); got != want {
			t.Errorf("%q: %v, want %v", message, got, want)
		}
	})
}
