//go:build !unix

package geo

// buffer returns zeroed memory of that many bytes, and what gives it back.
func buffer(size int) (data []byte, release func(), err error) {
	return make([]byte, size), func() {}, nil
}
