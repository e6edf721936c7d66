// Package async runs work beside other work.
package async

// Go runs do on another goroutine. wait waits for its error, as often as it is called.
func Go(do func() error) (wait func() error) {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = do()
	}()
	return func() error {
		<-done
		return err
	}
}
