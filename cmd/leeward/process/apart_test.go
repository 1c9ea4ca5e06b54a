//go:build !noembed

package process_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
)

// beats has vantages write heartbeats by clocks that are ahead, until the returned function is called.
func (c *cluster) beats(vantages int, ahead time.Duration) (end func()) {
	ctx, stop := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			at := time.Now().Add(ahead).Format(time.RFC3339Nano)
			for v := range vantages {
				_, err := c.Put(ctx, fmt.Sprintf("%svantages/other-%d", etcd.DefaultPrefix, v), fmt.Sprintf(
					`{"sequence":%d,"time":%q,"every":"1s","stale":"1m"}`, n, at))
				if err != nil && ctx.Err() == nil {
					c.t.Error(err)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		stop()
		<-done
		_, err := c.Delete(c.t.Context(), etcd.DefaultPrefix+"vantages/other-", clientv3.WithPrefix())
		if err != nil {
			c.t.Error(err)
		}
	}
}

// TestSignerByAWrongClock: a signer whose clock is far from those of the vantages writes no signatures that are not
// valid by theirs, removes none that are, and says so. Servers without keys go on with what they have. What was written
// while nobody could tell goes once the clock is right.
func TestSignerByAWrongClock(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	c := newCluster(t)
	c.putAll(signedZone)
	folder, key := keyFolder(t, "example.test")
	name, _ := rr.ParseName("example.test")
	first := signer(t, c, "sign-1", folder)
	s := edge("edge", c, "")
	s.NoProbe = true // its heartbeats would tell the time
	e := serve(t, s)
	answers := func() error {
		_, err := e.ask("www.example.test", dns.TypeA, []*dns.DNSKEY{key})
		return err
	}
	e.await("it is signed", func() string { return errText(answers()) })
	c.awaitAhead(first, name)
	first.end()
	epochs := func() map[int64]bool { // of which there are signatures
		all := map[int64]bool{}
		for k := range c.signatures() {
			parts := strings.Split(k, "/")
			if n, err := strconv.ParseInt(parts[len(parts)-2], 10, 64); err == nil {
				all[n] = true
			}
		}
		return all
	}
	wrong := func(vantages int, off time.Duration) (p *member, end func()) {
		stop := c.beats(vantages, -off) // by the clock of the process; what it signs goes by another, for the test
		s := settings("sign-2", c)
		s.Listen, s.Keys, s.Sign, s.NoProbe = nil, folder, true, true
		s.Clock = func() time.Time { return time.Now().Add(off) }
		p = serve(t, s)
		return p, func() { p.end(); stop() }
	}
	for _, one := range []struct {
		vantages int
		off      time.Duration
		says     string // why it writes no signatures; "": it does
	}{
		{2, 49 * time.Hour, "would not be valid yet"},
		{2, 400 * day, "would not be valid yet"},
		{2, -3 * day, ""},
		{2, -400 * day, "would have expired"},
		{1, 400 * day, ""}, // who is wrong?
	} {
		p, end := wrong(one.vantages, one.off)
		if one.says != "" {
			p.await("it says so", func() string {
				if !strings.Contains(p.log.String(), one.says) {
					return p.log.String()
				}
				return ""
			})
			p.awaitMetric("leeward_sign_failing", 1, 1)
		} else {
			p.awaitMetric(`leeward_sign_zones{state="ahead"}`, 1, 1)
		}
		if !strings.Contains(p.log.String(), "set them right") {
			t.Errorf("%v: the log does not say that clocks differ:\n%s", one.off, p.log)
		}
		now := time.Now()
		today := dnssec.EpochAt(name, now)
		there := epochs()
		if !there[today.Number] {
			t.Errorf("%v: today's signatures are gone; there are those of %v, and today is %d", one.off, there,
				today.Number)
		}
		for n := range there {
			if one.vantages > 1 && n > dnssec.EpochAt(name, now.Add(day/2)).Number+1 || n < today.Number-5 {
				t.Errorf("%v: it has written signatures of %d, and today is %d", one.off, n, today.Number)
			}
		}
		if err := answers(); err != nil {
			t.Errorf("%v: %v", one.off, err)
		}
		fresh := serve(t, s)
		fresh.await("one that starts answers too", func() string {
			_, err := fresh.ask("www.example.test", dns.TypeA, []*dns.DNSKEY{key})
			return errText(err)
		})
		fresh.end()
		end()
	}

	last := dnssec.EpochAt(name, time.Now()).Number + 3
	ahead := func() (n int) {
		for epoch := range epochs() {
			if epoch > last {
				n++
			}
		}
		return n
	}
	if ahead() == 0 {
		t.Fatal("there are no signatures of next year to be removed")
	}
	_, end := wrong(1, 0)
	e.await("what is of next year is removed", func() string {
		if n := ahead(); n > 0 {
			return fmt.Sprint("there are signatures of ", n, " days")
		}
		return ""
	})
	end()
	if err := answers(); err != nil {
		t.Error(err)
	}
}

// TestEdgeByAClockAhead: a server without keys whose clock is a day or more ahead of the vantages' answers with the
// signatures of today, although those of tomorrow are there, and says so.
func TestEdgeByAClockAhead(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.putAll(signedZone)
	folder, _ := keyFolder(t, "example.test")
	name, _ := rr.ParseName("example.test")
	s := signer(t, c, "sign", folder)
	c.awaitAhead(s, name)
	s.end()
	for _, off := range []time.Duration{26 * time.Hour, 400 * 24 * time.Hour} {
		end := c.beats(2, -off) // by the clock of the process; what it chooses signatures by is another, for the test
		ahead := edge("edge", c, "")
		ahead.Clock = func() time.Time { return time.Now().Add(off) }
		e := serve(t, ahead)
		e.await("it answers with the signatures of today", func() string {
			m := new(dns.Msg).SetQuestion("www.example.test.", dns.TypeA)
			m.SetEdns0(1232, true)
			r, err := dns.Exchange(m, e.DNS[0].String())
			if err != nil {
				return err.Error()
			}
			inception, _ := dnssec.EpochAt(name, time.Now()).Times()
			for _, x := range r.Answer {
				if sig, is := x.(*dns.RRSIG); is && sig.Inception == inception {
					return ""
				}
			}
			return r.String()
		})
		e.awaitSaid("set the clock right", true)
		e.end()
		end()
	}
}
