package health

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// etcdKey is one key of a vantage: its reports on a pool, or its heartbeat. A watcher sees every value in the order in
// which they were written. If it has lost its watch, it sees all keys as they are at some later revision, in the order
// of their names.
type etcdKey struct {
	vantage string
	pool    int // -1: the heartbeat
}

type etcdValue struct {
	sequence uint64
	run      uint64        // of a heartbeat
	states   map[int]State // by endpoint of the pool; empty: the key is gone
}

const endpointsOfPool = 3

func poolTarget(pool, endpoint int) Target {
	return Target{fmt.Sprintf("p%d/e%d", pool, endpoint), netip.AddrFrom4([4]byte{192, 0, byte(pool), byte(endpoint)})}
}

// tell applies a value as vantage.Follow and Event.Apply do, given the value before it.
func (k etcdKey) tell(b *Board, now time.Time, before, v etcdValue) {
	if k.pool < 0 {
		b.Began(k.vantage, v.run)
		b.Heartbeat(now, k.vantage, v.sequence, 10*time.Second)
		return
	}
	for e := range before.states {
		if _, still := v.states[e]; !still {
			b.Withdraw(k.vantage, poolTarget(k.pool, e).Endpoint)
		}
	}
	for _, e := range slices.Sorted(maps.Keys(v.states)) {
		b.Report(now, Report{
			Vantage: k.vantage, Target: poolTarget(k.pool, e), State: v.states[e],
			Sequence: v.sequence,
		})
	}
}

// Vantages report, withdraw, die and restart. Some begin with a sequence below that of the run before, as after a clock
// was set back. Two servers see this through etcd, each with lists of its own in between, so that values are skipped
// and repeated, and judge at times of their own. When everything has been read, what is stale has gone stale, and three
// more heartbeats have come, both agree with a server that has only ever seen the last value of every key.
func TestDeliveryDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const pools = 3
		later := epoch.Add(11 * time.Second)
		var as []Assignment
		m := &Monitor{TCP: &TCP{Port: 80}, Vantages: rapid.IntRange(1, 4).Draw(t, "bound")}
		for p := range pools {
			for e := range endpointsOfPool {
				as = append(as, Assignment{
					Target: poolTarget(p, e), Pool: fmt.Sprintf("p%d", p),
					Region: fmt.Sprintf("r%d", p%2), Monitor: m,
				})
			}
		}
		type written struct {
			key   etcdKey
			value etcdValue
			more  bool // the next one is in the same transaction
		}
		logs := map[string][]written{}
		vantages := []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "vantages")]
		for _, name := range vantages {
			var sequence uint64
			// The clocks with which runs begin their sequences. Some are behind the one before.
			bases := rapid.Permutation([]uint64{4 * Leap, 8 * Leap, 12 * Leap}).Draw(t, "clocks")
			held := map[int]map[int]State{}
			beginning := false
			var began uint64
			write := func(pool int) {
				sequence++
				logs[name] = append(logs[name],
					written{
						etcdKey{name, pool},
						etcdValue{sequence, began, maps.Clone(held[pool])},
						beginning && pool >= 0,
					})
			}
			runs := rapid.IntRange(1, 3).Draw(t, "runs")
			for run := range runs {
				sequence = bases[run]
				// A run writes its first reports and its heartbeat in one transaction. What the run before left stays
				// until this one has found out more. Or it is removed at once, which is necessary if clocks go back.
				ahead := slices.IsSorted(bases[:runs])
				beginning, began = true, sequence+1
				for p := range pools {
					was := !ahead && slices.ContainsFunc(logs[name], func(w written) bool { return w.key.pool == p })
					held[p] = nil
					if rapid.Bool().Draw(t, "at once") {
						held[p] = map[int]State{rapid.IntRange(0, endpointsOfPool-1).Draw(t, "endpoint"): Up}
					}
					if was || held[p] != nil {
						write(p)
					}
				}
				write(-1)
				beginning = false
				for range rapid.IntRange(0, 8).Draw(t, "steps") {
					p := rapid.IntRange(0, pools-1).Draw(t, "pool")
					e := rapid.IntRange(0, endpointsOfPool-1).Draw(t, "endpoint")
					switch rapid.IntRange(0, 3).Draw(t, "step") {
					case 0:
						write(-1)
					case 1:
						delete(held[p], e)
						write(p)
					default:
						if held[p] == nil {
							held[p] = map[int]State{}
						}
						held[p][e] = rapid.SampledFrom([]State{Unknown, Up, Down, Down}).Draw(t, "state")
						write(p)
					}
				}
			}
		}
		var log []written
		for left := slices.Clone(vantages); len(left) > 0; {
			i := rapid.IntRange(0, len(left)-1).Draw(t, "next")
			name := left[i]
			if len(logs[name]) == 0 {
				left = slices.Delete(left, i, i+1)
				continue
			}
			for more := true; more; {
				more = logs[name][0].more
				log = append(log, logs[name][0])
				logs[name] = logs[name][1:]
			}
		}
		for range 3 {
			for _, name := range vantages {
				beat := etcdKey{name, -1}
				i := len(log) - 1
				for log[i].key.vantage != name {
					i--
				}
				last := log[i].value
				log = append(log, written{key: beat, value: etcdValue{sequence: last.sequence + 1, run: last.run}})
			}
		}
		// at returns the keys in the order of a list, with their values when that much of the log was written.
		at := func(n int) ([]etcdKey, map[etcdKey]etcdValue) {
			values := map[etcdKey]etcdValue{}
			for _, w := range log[:n] {
				values[w.key] = w.value
			}
			keys := slices.SortedFunc(maps.Keys(values), func(a, b etcdKey) int {
				return cmp.Or(cmp.Compare(min(b.pool, 0), min(a.pool, 0)), cmp.Compare(a.vantage, b.vantage),
					cmp.Compare(a.pool, b.pool))
			})
			return keys, values
		}
		played := func(label string) *Board {
			b := NewBoard()
			b.Assign(as)
			told := map[etcdKey]etcdValue{}
			calm := len(log) - 3*len(vantages)
			now := epoch
			for n := 0; n < len(log); {
				if n < calm && (n == 0 || !log[n-1].more) && rapid.IntRange(0, 5).Draw(t, label) == 0 {
					n += rapid.IntRange(0, calm-n).Draw(t, "missed")
					for n > 0 && log[n-1].more {
						n++
					}
					keys, values := at(n)
					for _, k := range keys {
						k.tell(b, now, told[k], values[k])
						told[k] = values[k]
					}
				}
				if n < len(log) {
					if n == calm {
						now = later
					}
					w := log[n]
					w.key.tell(b, now, told[w.key], w.value)
					told[w.key] = w.value
					n++
				}
				if n <= calm && rapid.IntRange(0, 3).Draw(t, "judge") == 0 {
					b.Judge(now)
				}
			}
			b.Judge(later)
			return b
		}
		plain := NewBoard()
		plain.Assign(as)
		keys, values := at(len(log))
		for _, k := range keys {
			k.tell(plain, later, etcdValue{}, values[k])
		}
		plain.Judge(later)
		for _, label := range []string{"one", "two"} {
			b := played(label)
			for _, a := range as {
				got, want := b.Verdict(a.Target), plain.Verdict(a.Target)
				if got.State != want.State || got.Up != want.Up || got.Down != want.Down || got.Fresh != want.Fresh ||
					got.Why != want.Why {
					t.Fatalf("%s: server %s says\n%+v, the last values\n%+v", a.Endpoint, label, got, want)
				}
			}
		}
	})
}
