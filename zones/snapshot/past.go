package snapshot

import "leeward/zones/dnssec"

// EachKeys calls with the keys of each zone that somebody has looked for, or with why there are none, for another
// Builder to be told by Keyed.
func (b *Builder) EachKeys(f func(origin string, k *dnssec.Keys, err error)) {
	for origin, k := range b.keys {
		f(origin, k.keys, k.err)
	}
}
