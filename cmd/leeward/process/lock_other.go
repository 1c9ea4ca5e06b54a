//go:build !unix

package process

// lockFolder does nothing on systems without such locks.
func lockFolder(string) (unlock func(), err error) { return func() {}, nil }
