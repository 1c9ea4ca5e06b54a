package process

import (
	"context"
	"fmt"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/server/admin"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// Signers and edges compare their clocks with those of the vantages, as signatures have the day of a clock. Nothing
// else is decided by comparing two clocks.
const (
	compareEvery = 5 * time.Second // how often to compare clocks
	compareWait  = 3 * time.Second // how long to wait for heartbeats to compare with, before the first write
	mostApart    = 12 * time.Hour  // clocks that differ by less do no harm, as days overlap
)

// signerClock is how a signer's clock differs from those of most vantages. Signatures have the day of the signer's
// clock. If that is far from the others', they are not valid yet where they are used, or no longer; and those of the
// others' day would be removed as old. So neither is done then. Nobody's clock is used in place of the signer's: who
// can write to etcd could have it sign for next year.
type signerClock struct {
	began    time.Time     // when the first comparison was tried
	compared time.Time     // when it was last compared; zero: never
	apart    control.Apart // as last known
}

// compare compares this process's clock with those of the vantages. It returns false while they are about to be heard.
func (g *signatory) compare(ctx context.Context) bool {
	c, now := &g.clock, time.Now()
	if g.apart == nil || !c.compared.IsZero() && now.Sub(c.compared) < compareEvery {
		return true
	}
	if c.began.IsZero() {
		c.began = now
	}
	a := g.apart(ctx)
	more := a.Soon || a.Vantages == 1 && a.Ahead.Abs() >= mostApart // others may say the same
	if more && c.compared.IsZero() && now.Sub(c.began) < compareWait {
		return false
	}
	c.compared = now
	if a.Vantages > 0 && (a.Vantages != c.apart.Vantages || (a.Ahead-c.apart.Ahead).Abs() > time.Minute) {
		if c.apart = a; c.wrong() {
			g.log.Error("the clock of this machine, or those of most vantages, are wrong: set them right",
				"this one is", c.text())
		}
	} // else what was last known counts: a clock does not become right because nobody is heard
	return true
}

// wrong reports whether the clocks are so far apart that it matters.
func (c *signerClock) wrong() bool { return c.apart.Vantages > 0 && c.apart.Ahead.Abs() >= mostApart }

func (c *signerClock) text() string {
	word := "ahead of"
	if c.apart.Ahead > 0 {
		word = "behind"
	}
	return fmt.Sprintf("%s %s the vantages'", admin.Age(c.apart.Ahead.Abs().Seconds()), word)
}

// useless returns an error if the signatures of an epoch would be valid for nobody whose clock is as most vantages'.
// The word of a single vantage does not count: its clock may be the one that is wrong.
func (g *signatory) useless(name rr.Name, e dnssec.Epoch) error {
	theirs := g.now().Add(g.clock.apart.Ahead)
	switch {
	case !g.clock.wrong() || g.clock.apart.Vantages < 2:
	case e.Number > lastEpoch(name, theirs):
		return fmt.Errorf("the clock of its machine is %s: its signatures would not be valid yet", g.clock.text())
	case !theirs.Before(e.Expires()):
		return fmt.Errorf("the clock of its machine is %s: its signatures would have expired", g.clock.text())
	}
	return nil
}

// lastEpoch returns the number of the last epoch that a signer whose clock is about right signs at a time.
func lastEpoch(name rr.Name, at time.Time) int64 {
	return dnssec.EpochAt(name, at.Add(mostApart)).Next().Number
}

// clock returns the time by which signatures are chosen. It is that of this machine unless that is hours ahead of the
// clocks of most vantages. Then it is theirs: by its own, this server would answer with signatures that are not valid
// yet, as those of the next day are there a day before. If it is not this clock that is wrong, older signatures do no
// harm, for they are valid for 13 days.
func (e *edge) clock() time.Time { return e.own().Add(-time.Duration(e.back.Load())) }

// compare compares this machine's clock with those of the vantages. It does not wait for a busy loop.
func (e *edge) compare(ctx context.Context) {
	if time.Since(e.compared) < compareEvery {
		return
	}
	limited, stop := context.WithTimeout(ctx, edgeTick/10)
	defer stop()
	var a control.Apart
	if e.loop().Do(limited, func(i control.Inside) { a = i.Apart() }) != nil || a.Vantages == 0 {
		return
	}
	e.compared = time.Now()
	back := -a.Ahead
	switch {
	case back < mostApart:
		back = 0
	case a.Vantages < 2:
		return // who is wrong?
	}
	if had := time.Duration(e.back.Load()); (back - had).Abs() < time.Minute {
		return
	}
	e.back.Store(int64(back))
	if back == 0 {
		e.log.Info("this machine's clock is that of most vantages again: signatures are chosen by it")
		return
	}
	e.log.Error("this clock is ahead of those of most vantages: signatures are chosen by theirs; set it right",
		"by", back.Round(time.Second))
}
