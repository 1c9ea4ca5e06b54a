//go:build !unix

package process

// descriptorLimit returns how many files this process may have open. Nothing limits them on this system.
func descriptorLimit() uint64 { return 1 << 20 }
