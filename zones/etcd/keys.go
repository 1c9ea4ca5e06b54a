package etcd

import "strings"

// All names of keys are here. They are relative to the prefix. Resources lie beside them, each under its zones.Key,
// such as "pools/www-eu".
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
	Server   = "/server" // follows a heartbeat's name
	Keys     = "keys/"
	Meta     = "meta/"
	Servers  = ".servers/" // replaces the final slash of the prefix, as Signatures does
	// Signatures and an origin: the public parts of the zone's keys (/keys), and chunks of its signatures
	// (/<epoch>/<n>).
	Signatures = ".signatures/"

	// Accepted says that everything removed before it was removed on purpose, and which history is the right one.
	Accepted = Meta + "accepted"
	// AcceptedKeys and a resource's key: that resource was removed on purpose.
	AcceptedKeys = Meta + "accepted-keys/"
	// Meant is written together with removals that are on purpose. It says nothing about other removals.
	Meant = Meta + "meant"
	// Owners and a resource's key: who the resource belongs to.
	Owners = Meta + "owners/"
	// SerialBase is a number that all serials are above. Serials and an origin: the zone's last serial.
	SerialBase = Meta + "serial-base"
	Serials    = Meta + "serials/"
	// CookieSecret is the secret of DNS cookies.
	CookieSecret = Meta + "cookie-secret"
	// Drills and a time: the report of the drill that began then.
	Drills = Meta + "drills/"

	compacted = Meta + "compacted"
	pulse     = Reports + "pulse"
)

// DefaultPrefix is the prefix of all keys unless an operator sets another.
const DefaultPrefix = "/leeward/"

// Beside reports whether a name does not belong to a resource: it is one of the names above, or reserved for others
// like them.
func Beside(name string) bool {
	for _, folder := range []string{Reports, Vantages, Keys, Meta} {
		if strings.HasPrefix(name, folder) {
			return true
		}
	}
	return false
}

// Range is all names from From, inclusive, to To, exclusive. An empty To is the end of all names.
type Range struct{ From, To string }

// One is the range that has one name.
func One(name string) Range { return Range{name, name + "\x00"} }

// Folder is the range of all names that begin with name, which ends in a slash.
func Folder(name string) Range { return Range{name, after(name)} }

// holds reports whether a name is in the range.
func (r Range) holds(name string) bool { return r.From <= name && (r.To == "" || name < r.To) }

// after returns the first name behind all that begin with folder, which ends in a slash.
func after(folder string) string { return folder[:len(folder)-1] + "0" }

// Key returns the key of a name in etcd.
func (c *Cluster) Key(name string) string {
	if strings.HasPrefix(name, ".") { // beside the prefix
		return strings.TrimSuffix(c.Options.Prefix, "/") + name
	}
	return c.Options.Prefix + name
}

// name is the reverse of Key.
func (c *Cluster) name(key []byte) string {
	if name, below := strings.CutPrefix(string(key), c.Options.Prefix); below {
		return name
	}
	return string(key[len(c.Options.Prefix)-1:])
}

// ends returns the ends of a range as keys in etcd.
func (c *Cluster) ends(r Range) (from, to string) {
	if r.To == "" {
		return c.Key(r.From), after(c.Options.Prefix)
	}
	return c.Key(r.From), c.Key(r.To)
}
