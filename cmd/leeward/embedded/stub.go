//go:build noembed

// Package embedded stands in, in a build with the tag noembed, for the etcd that runs inside this process.
package embedded

import (
	"context"
	"errors"
)

// Etcd is never there in this build.
type Etcd struct{}

// Start says that this build has no etcd in it.
func Start(context.Context, string) (*Etcd, error) {
	return nil, errors.New("this leeward was built without an etcd in it (build tag noembed); " +
		"start an etcd and name it with --etcd, or use a build without that tag")
}

// URL returns "".
func (*Etcd) URL() string { return "" }

// Close does nothing.
func (*Etcd) Close() {}
