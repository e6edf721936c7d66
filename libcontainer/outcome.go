package libcontainer

// An outcome is that of something which is done beside other work.
type outcome struct {
	done chan struct{}
	err  error
}

// beside does something on another goroutine.
func beside(do func() error) *outcome {
	o := &outcome{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.err = do()
	}()
	return o
}

// wait waits for the outcome. That of nothing is nil.
func (o *outcome) wait() error {
	if o == nil {
		return nil
	}
	<-o.done
	return o.err
}
