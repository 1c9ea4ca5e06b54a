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

// Top says who asks this server most, and for which names, by a sketch: each row has bounds that hold, and so have
// those who are in no row. New fields may come; none goes or changes its meaning.
type Top struct {
	Server  string     `json:"server,omitempty"`
	At      time.Time  `json:"at"`
	Windows [2]float64 `json:"windows"` // seconds: how far lastMinute and lastFiveMinutes go back
	Epsilon float64    `json:"epsilon"` // share of all queries by which a row may err at most
	Clients TopList    `json:"clients"` // by prefix: /24 of IPv4, /56 of IPv6, of the address that sends
	Names   TopList    `json:"names"`   // that queries ask for, whatever the type, in our zones or not
}

// TopList has those rows first that have the most for sure in the last minute, and then in five.
type TopList struct {
	Rows []TopRow `json:"rows"`

	// All is how many queries there were. Others is what one that is in no row, or would be if there were more rows,
	// cannot have passed. Uncounted is queries that are in no row: two came over TCP at the very same time.
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
	AtLeast TopCount `json:"atLeast"` // queries that are its for sure
	AtMost  TopCount `json:"atMost"`  // it did not have more, Uncounted aside
}

const (
	topEvery   = 15 * time.Second
	topWindows = 20 // five minutes of them
	minuteOf   = 4

	topV4, topV6 = 24, 56 // bits of an address that are told
)

// topName is a name in wire form.
type topName struct {
	size   uint8
	octets [wire.MaxName]byte
}

func (n *topName) text() string { return rr.Name(n.octets[:n.size]).String() }

// topClient is a prefix: the address's first bits, on a ground of zeros, and which family it is of.
type topClient struct {
	high uint64
	v6   bool
}

// clientOf returns the prefix that an address is counted by.
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

// topStripe is what one stripe counts: 700 KB.
type topStripe struct {
	seed    maphash.Seed
	clients sketches[topClient]
	names   sketches[topName]
}

// count counts a query. The name is in wire form and lower case; none where there is no question that can be read.
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

// topping is what all stripes have counted, in windows of topEvery.
type topping struct {
	seed maphash.Seed

	mu      sync.Mutex
	windows [topWindows + 1]topWindow // the newest first, which grows
}

// topWindow is what was counted from a time on.
type topWindow struct {
	since   time.Time
	clients tops
	names   tops
}

// takeUp adds what stripes have counted since the last time to the newest window, and begins another when it is due.
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
	if now.Sub(newest.since) >= topEvery-time.Second { // whoever calls is not on time to the millisecond
		copy(t.windows[1:], t.windows[:])
		*newest = topWindow{since: now}
	}
}

// Top returns who asks most, and for what, with so many rows at most in each list; nil where that is not counted.
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

// topList makes a list of what was counted in the last minute and in five.
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

// followTop takes up what was counted, when it is due.
func (r *Responder) followTop(now time.Time) {
	if t := r.topping; t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		r.takeUp(now)
	}
}
