package app

import "sync"

// once keeps the first successful answer; a failure is asked again.
type once[T any] struct {
	mu    sync.Mutex
	known bool
	value T
}

func (o *once[T]) get(find func() (T, error)) (T, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known {
		return o.value, nil
	}
	value, err := find()
	if err == nil {
		o.value, o.known = value, true
	}
	return value, err
}
