// Package async runs work concurrently with the caller.
package async

// Go runs do on another goroutine. wait returns its error and may be called repeatedly.
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
