package vantage

import "time"

// Writes are gathered when many pools turn at once. The endpoints of a pool are probed each at its own time. So a pool
// that fails as a whole turns bit by bit over an interval, and each bit would write the whole pool. While more than
// brisk pools a second are written, a pool that was written waits for gather. The first report on a pool goes out at
// once, and so do all reports while little happens.
const (
	brisk  = 64
	gather = 500 * time.Millisecond
)

// pacing knows when pools may be written.
type pacing struct {
	last        map[string]time.Time // when each was written, of those written within gather or somewhat longer
	second      time.Time            // begin of the second that is counted
	count, past int                  // pools written in it, and in the one before
	rest        time.Time            // until then nothing of what is unwritten may be written; zero: something may
}

// due returns when the pool may be written again; zero: at once.
func (p *pacing) due(pool string, now time.Time) time.Time {
	p.turn(now)
	if max(p.count, p.past) <= brisk {
		return time.Time{}
	}
	if last, ok := p.last[pool]; ok {
		return last.Add(gather)
	}
	return time.Time{}
}

func (p *pacing) wrote(pool string, now time.Time) {
	p.turn(now)
	p.count++
	if p.last == nil {
		p.last = map[string]time.Time{}
	}
	p.last[pool] = now
}

// turn begins another second where one has passed.
func (p *pacing) turn(now time.Time) {
	passed := now.Sub(p.second)
	if passed >= 0 && passed < time.Second {
		return
	}
	p.past = p.count
	if passed >= 2*time.Second || passed < 0 {
		p.past = 0
	}
	p.count, p.second = 0, now
	for pool, last := range p.last {
		if d := now.Sub(last); d >= gather || d < 0 {
			delete(p.last, pool)
		}
	}
}

// write marks a pool's key as not what it should be. The caller holds the mutex.
func (l *Link) write(pool string) {
	l.unwritten[pool] = true
	l.pacing.rest = time.Time{}
}

// beatEvery returns the time between two heartbeats of a vantage. shortest is the least time that any of its monitors
// takes to detect a death. The result is half of that, so that a live vantage shows itself twice before others judge
// without it (health/late.go). It is LeastEvery or more, because etcd keeps each heartbeat until the next compaction,
// and longest or less.
func beatEvery(shortest, longest time.Duration) time.Duration {
	return min(max(shortest/2, LeastEvery), longest)
}
