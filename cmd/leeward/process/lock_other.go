//go:build !unix

package process

// lockFolder does nothing where there are no such locks.
func lockFolder(string) (unlock func(), err error) { return func() {}, nil }
