package etcd

import "strings"

// All names of keys are here. They are names below the prefix, and resources lie beside them: each under its
// zones.Key, such as "pools/www-eu".
//
//	/leeward/  zones/… records/… pools/…       resources: JSON documents
//	           reports/<vantage>/<pool>        what a vantage reports on a pool
//	           reports/pulse                   see pulse.go
//	           vantages/<vantage>              its heartbeat
//	           vantages/<vantage>/server       what it says of itself, if it is a server
//	           keys/<origin>/<algorithm>-<tag> a key of a zone, sealed
//	           meta/…                          the rest, below
//	/leeward.servers/<id>                      a server that does not probe, where no watch looks
//	/leeward.signatures/<zone>/…               signatures for servers without keys, where only those look
const (
	Reports  = "reports/"
	Vantages = "vantages/"
	Server   = "/server" // follows the name of a heartbeat
	Keys     = "keys/"
	Meta     = "meta/"
	Servers  = ".servers/" // takes the place of the prefix's final slash, as Signatures does
	// Signatures and an origin: of that zone, the keys' public parts (/keys), and chunks of signatures (/<epoch>/<n>).
	Signatures = ".signatures/"

	// Accepted says that what was removed before it was removed on purpose, and which history is the right one.
	Accepted = Meta + "accepted"
	// AcceptedKeys and the key of a resource: the same, of its removal alone.
	AcceptedKeys = Meta + "accepted-keys/"
	// Meant is put with removals that are made on purpose; it says nothing of others.
	Meant = Meta + "meant"
	// Owners and the key of a resource: who it belongs to.
	Owners = Meta + "owners/"
	// SerialBase is a number that all serials are above, and Serials with an origin the last serial of that zone.
	SerialBase = Meta + "serial-base"
	Serials    = Meta + "serials/"
	// CookieSecret is what servers make DNS cookies with.
	CookieSecret = Meta + "cookie-secret"
	// Drills and a time: the report of the drill that began then.
	Drills = Meta + "drills/"

	compacted = Meta + "compacted"
	pulse     = Reports + "pulse"
)

// DefaultPrefix is where the keys are unless an operator says otherwise.
const DefaultPrefix = "/leeward/"

// Beside reports whether a name is none of a resource: it is one of the names above, or reserved for their kind.
func Beside(name string) bool {
	for _, folder := range []string{Reports, Vantages, Keys, Meta} {
		if strings.HasPrefix(name, folder) {
			return true
		}
	}
	return false
}

// Range is the names from one, up to another that it does not hold. An empty To is the end of all names.
type Range struct{ From, To string }

// One is the range of one name.
func One(name string) Range { return Range{name, name + "\x00"} }

// Folder is the range of all names that begin with one that ends in a slash.
func Folder(name string) Range { return Range{name, after(name)} }

// holds reports whether the range has a name.
func (r Range) holds(name string) bool { return r.From <= name && (r.To == "" || name < r.To) }

// after returns the first name that does not begin with one that ends in a slash.
func after(folder string) string { return folder[:len(folder)-1] + "0" }

// Key returns etcd's key of a name.
func (c *Cluster) Key(name string) string {
	if strings.HasPrefix(name, ".") { // beside the prefix
		return strings.TrimSuffix(c.Options.Prefix, "/") + name
	}
	return c.Options.Prefix + name
}

// name is the opposite of Key.
func (c *Cluster) name(key []byte) string {
	if name, below := strings.CutPrefix(string(key), c.Options.Prefix); below {
		return name
	}
	return string(key[len(c.Options.Prefix)-1:])
}

// ends returns etcd's keys of a range's ends.
func (c *Cluster) ends(r Range) (from, to string) {
	if r.To == "" {
		return c.Key(r.From), after(c.Options.Prefix)
	}
	return c.Key(r.From), c.Key(r.To)
}
