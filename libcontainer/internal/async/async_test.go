package async

import (
	"errors"
	"testing"
)

func TestGo(t *testing.T) {
	failed, begin := errors.New("failed"), make(chan struct{})
	wait := Go(func() error {
		<-begin
		return failed
	})
	close(begin)
	for range 2 {
		if err := wait(); err != failed {
			t.Error(err)
		}
	}
}
