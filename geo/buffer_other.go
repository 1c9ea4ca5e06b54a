//go:build !unix

package geo

// buffer returns size octets of zeroed memory, and a function that gives it back.
func buffer(size int) (data []byte, release func(), err error) {
	return make([]byte, size), func() {}, nil
}
