package resolve

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// GoneAfter is how long authoritative servers must have said that a name does not exist, or has no address, before that
// is believed. A zone that is broken for a while says the same as an operator who has given a balancer back, whose
// addresses may belong to somebody else tomorrow.
const GoneAfter = 10 * time.Minute

// maxAddresses is how many addresses of a name are used at most.
const maxAddresses = 64

// reply is the result of asking for one family of a name.
type reply struct {
	addresses []netip.Addr
	ttl       time.Duration // the shortest of the addresses and of all aliases on the way to them
	err       error         // no resolver could tell
	absent    bool          // the name does not exist
}

var (
	errAbsent  = errors.New("there is no such name (NXDOMAIN)")
	errNothing = errors.New("the name has no addresses")
)

// fold returns what is known of a name after asking for both families. A family that no resolver could tell stays as it
// was. If the name has no address at all any more, both stay.
func (a Answer) fold(four, six reply, now time.Time) Answer {
	replies := [2]reply{four, six}
	err := errors.Join(prefixed("A", four.err), prefixed("AAAA", six.err))
	if err == nil && len(four.addresses)+len(six.addresses) == 0 {
		if err = errNothing; four.absent || six.absent {
			err = errAbsent
		}
	}
	next := a
	switch { // an error says neither that the name is there nor that it is gone
	case len(four.addresses)+len(six.addresses) > 0:
		next.Absent, next.Gone = time.Time{}, false
	case four.err == nil && six.err == nil && a.Absent.IsZero():
		next.Absent = now
	case four.err == nil && six.err == nil:
		next.Gone = now.Sub(a.Absent) >= GoneAfter
	}
	if err == nil || len(four.addresses)+len(six.addresses) > 0 {
		next.Addresses, next.Told = nil, now
		next.Expires = now.Add(MaxInterval)
		for f, r := range replies {
			kept := a.of(f)
			switch {
			case r.err != nil && len(kept) > 0:
				next.Addresses = append(next.Addresses, kept...)
				if a.Expires.Before(next.Expires) {
					next.Expires = a.Expires
				}
			case r.err == nil:
				next.Known[f] = true
				next.Addresses = append(next.Addresses, usable(r.addresses)...)
				if at := now.Add(r.ttl); len(r.addresses) > 0 && at.Before(next.Expires) {
					next.Expires = at
				}
			}
		}
		if len(next.Addresses) == 0 {
			next.Addresses, next.Known, next.Told, next.Expires = a.Addresses, a.Known, a.Told, a.Expires
			err = errors.Join(err, errors.New("none of its addresses can be an endpoint's"))
		}
	}
	next.Err = ""
	if err != nil {
		next.Err = err.Error()
		if a.Err == "" {
			next.Since = now
		}
	} else {
		next.Since = time.Time{}
	}
	return next
}

func prefixed(what string, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(what + ": " + err.Error())
}

// of returns the addresses of a family: 0 is IPv4, 1 is IPv6.
func (a Answer) of(family int) (addresses []netip.Addr) {
	for _, x := range a.Addresses {
		if x.Is4() == (family == 0) {
			addresses = append(addresses, x)
		}
	}
	return addresses
}

// usable sorts addresses and drops those that cannot be an endpoint's, by the rules for Endpoint documents.
func usable(addresses []netip.Addr) []netip.Addr {
	fine := slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool {
		return !a.IsValid() || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() ||
			a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	})
	slices.SortFunc(fine, netip.Addr.Compare)
	fine = slices.Compact(fine)
	return fine[:min(len(fine), maxAddresses)]
}

// same reports whether two answers are the same on disk.
func same(a, b Answer) bool {
	return slices.Equal(a.Addresses, b.Addresses) && a.Known == b.Known && a.Told.IsZero() == b.Told.IsZero() &&
		a.Absent.Equal(b.Absent) && a.Gone == b.Gone
}
