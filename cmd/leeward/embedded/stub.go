//go:build noembed

// Package embedded takes the place of the embedded etcd in a build with the tag noembed.
package embedded

import (
	"context"
	"errors"
)

// Etcd does not exist in this build.
type Etcd struct{}

// Start fails, because this build has no etcd in it.
func Start(context.Context, string) (*Etcd, error) {
	return nil, errors.New("this leeward was built without the embedded etcd (build tag noembed); " +
		"start an etcd and name it with --etcd, or use a build without that tag")
}

// URL returns "".
func (*Etcd) URL() string { return "" }

// Close does nothing.
func (*Etcd) Close() {}
