package answer

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"leeward/server/wire"
	"leeward/zones/rr"
)

// Top says who asks this server most, and for which names. It comes from a sketch: bounds hold for each row, and for
// everything in no row. Fields are added, but never removed, and never change their meaning.
type Top struct {
	Server  string     `json:"server,omitempty"`
	At      time.Time  `json:"at"`
	Windows [2]float64 `json:"windows"` // seconds: how far lastMinute and lastFiveMinutes go back
	Epsilon float64    `json:"epsilon"` // share of all queries by which a row may be wrong
	Clients TopList    `json:"clients"` // by prefix: /24 of IPv4, /56 of IPv6, of the address that sends
	Names   TopList    `json:"names"`   // names asked for, of any type, in our zones or not
}

// TopList sorts rows by the counts that are certain, first of the last minute, then of five, largest first.
type TopList struct {
	Rows []TopRow `json:"rows"`

	// All is the number of queries. Others is the largest count that anything without a row can have. Uncounted is the
	// number of queries that no row has: two came over TCP at the very same time.
	All       TopCount `json:"all"`
	Others    TopCount `json:"others"`
	Uncounted TopCount `json:"uncounted"`
}

// TopCount is one number for each window.
type TopCount struct {
	LastMinute      uint64 `json:"lastMinute"`
	LastFiveMinutes uint64 `json:"lastFiveMinutes"`
}

// TopRow is one client or name.
type TopRow struct {
	What    string   `json:"what"`    // 192.0.2.0/24, www.example.test
	AtLeast TopCount `json:"atLeast"` // queries that are certainly its own
	AtMost  TopCount `json:"atMost"`  // it had no more, apart from Uncounted
}

const (
	topEvery   = 15 * time.Second
	topWindows = 20 // five minutes of them
	minuteOf   = 4

	topV4, topV6 = 24, 56 // bits of an address that are shown
)

// topName is a name in wire form.
type topName struct {
	size   uint8
	octets [wire.MaxName]byte
}

func (n *topName) text() string { return rr.Name(n.octets[:n.size]).String() }

// topClient is a prefix: the first bits of an address, padded with zeros, and its family.
type topClient struct {
	high uint64
	v6   bool
}

// clientOf returns the prefix that counts an address.
func clientOf(a netip.Addr) topClient {
	if a.Is4() || a.Is4In6() {
		b := a.As4()
		return topClient{high: uint64(binary.BigEndian.Uint32(b[:])) >> (32 - topV4)}
	}
	b := a.As16()
	return topClient{binary.BigEndian.Uint64(b[:]) >> (64 - topV6), true}
}

func (c *topClient) text() string {
	var b [16]byte
	if c.v6 {
		binary.BigEndian.PutUint64(b[:], c.high<<(64-topV6))
		return netip.PrefixFrom(netip.AddrFrom16(b), topV6).String()
	}
	binary.BigEndian.PutUint32(b[:], uint32(c.high)<<(32-topV4))
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), topV4).String()
}

// topStripe is the counts of one stripe: 700 KB.
type topStripe struct {
	seed    maphash.Seed
	clients sketches[topClient]
	names   sketches[topName]
}

// count counts a query. name is in wire form and lower case; it is empty if the question cannot be read.
func (s *topStripe) count(name []byte, client netip.Addr) {
	c := clientOf(client)
	var b [9]byte
	binary.LittleEndian.PutUint64(b[:], c.high)
	if c.v6 {
		b[8] = 1
	}
	s.clients.count(maphash.Bytes(s.seed, b[:]), func(to *topClient) { *to = c })
	if len(name) > 0 {
		s.names.count(maphash.Bytes(s.seed, name), func(to *topName) { to.size = uint8(copy(to.octets[:], name)) })
	}
}

// topping is the counts of all stripes, in windows of topEvery.
type topping struct {
	seed maphash.Seed

	mu      sync.Mutex
	windows [topWindows + 1]topWindow // newest first; that one grows
}

// topWindow is what was counted since a time.
type topWindow struct {
	since   time.Time
	clients tops
	names   tops
}

// takeUp adds to the newest window what stripes have counted since the last time. When it is due, it begins another
// window.
func (r *Responder) takeUp(now time.Time) {
	t := r.topping
	newest := &t.windows[0]
	if newest.since.IsZero() {
		newest.since = r.made
	}
	for _, s := range r.counts.all() {
		if s.top == nil {
			continue
		}
		for _, found := range s.top.clients.turn((*topClient).text) {
			newest.clients.add(found)
		}
		for _, found := range s.top.names.turn((*topName).text) {
			newest.names.add(found)
		}
	}
	if now.Sub(newest.since) >= topEvery-time.Second { // callers are not on time to the millisecond
		copy(t.windows[1:], t.windows[:])
		*newest = topWindow{since: now}
	}
}

// Top returns who asks most, and for what, with at most most rows in each list. It returns nil if that is not counted.
func (r *Responder) Top(most int) *Top {
	t := r.topping
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := r.options.Now()
	r.takeUp(now)
	out := &Top{Server: r.options.ID, At: now, Epsilon: Epsilon}
	var clients, names [2]tops
	for i, window := range t.windows {
		if window.since.IsZero() {
			break
		}
		for span, windows := range [2]int{minuteOf, topWindows} {
			if i <= windows {
				clients[span].add(&t.windows[i].clients)
				names[span].add(&t.windows[i].names)
				out.Windows[span] = now.Sub(window.since).Seconds()
			}
		}
	}
	out.Clients, out.Names = topList(&clients, most), topList(&names, most)
	return out
}

// topList makes a list from what was counted in the last minute and in the last five.
func topList(of *[2]tops, most int) TopList {
	l := TopList{
		Rows:      []TopRow{},
		All:       TopCount{of[0].n + of[0].missed, of[1].n + of[1].missed},
		Others:    TopCount{of[0].others(), of[1].others()},
		Uncounted: TopCount{of[0].missed, of[1].missed},
	}
	seen := map[uint64]bool{}
	for span := range of {
		for _, h := range of[span].most() {
			if seen[h.hash] {
				continue
			}
			seen[h.hash] = true
			row := TopRow{What: h.key}
			row.AtLeast.LastMinute, row.AtMost.LastMinute = of[0].of(h.hash)
			row.AtLeast.LastFiveMinutes, row.AtMost.LastFiveMinutes = of[1].of(h.hash)
			l.Rows = append(l.Rows, row)
		}
	}
	slices.SortStableFunc(l.Rows, func(a, b TopRow) int {
		return cmp.Or(cmp.Compare(b.AtLeast.LastMinute, a.AtLeast.LastMinute),
			cmp.Compare(b.AtLeast.LastFiveMinutes, a.AtLeast.LastFiveMinutes), cmp.Compare(a.What, b.What))
	})
	for _, left := range l.Rows[min(most, len(l.Rows)):] {
		l.Others.LastMinute = max(l.Others.LastMinute, left.AtMost.LastMinute)
		l.Others.LastFiveMinutes = max(l.Others.LastFiveMinutes, left.AtMost.LastFiveMinutes)
	}
	l.Rows = l.Rows[:min(most, len(l.Rows))]
	return l
}

// followTop calls takeUp when that is due.
func (r *Responder) followTop(now time.Time) {
	if t := r.topping; t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		r.takeUp(now)
	}
}
