package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"leeward/cmd/leeward/embedded"
	"leeward/cmd/leeward/screen"
)

// The course of a surge, in seconds:
//
//	surgeTimes ┃        ╭─────────╮
//	           ┃       ╱           ╲
//	         1 ┃──────╯             ╰──────
//	           ┗━begins━grows━lasts━ends━after
const (
	surgeBegins = 4.
	surgeGrows  = 6.
	surgeLasts  = 14.
	surgeEnds   = 4.
	surgeAfter  = 10.
	surgeTimes  = 3. // as many requests as usual
)

// surgeAt returns the demand at a time, as a multiple of the usual one.
func surgeAt(s float64) float64 {
	up := min(max((s-surgeBegins)/surgeGrows, 0), 1)
	downAt := surgeBegins + surgeGrows + surgeLasts
	up -= min(max((s-downAt)/surgeEnds, 0), 1)
	return 1 + (surgeTimes-1)*up
}

// Surge plays a crowd three times as large as usual that comes to one region. It plays it for two names at the same
// time: one whose pools spill what they cannot hold, and one whose pools do not. It returns what was seen. The error
// says what did not work, or that pools broke although they spill.
func Surge(ctx context.Context, o Options) (*Film, error) {
	crowds := []*crowd{newCrowd("with spill", "www."+origin, true, 1), newCrowd("without", "plain."+origin, false, 2)}
	var sites []*site
	for _, c := range crowds {
		sites = append(sites, c.sites...)
	}
	d := &demo{Options: o, observer: observer{sites: sites, http: &http.Client{Timeout: time.Second}}}
	d.quieten()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := startSites(sites); err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range sites {
			s.stop()
		}
	}()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		return nil, err
	}
	defer etcd.Close()
	d.etcd = etcd.URL()
	if _, err := d.apply(ctx, surgeDocuments(crowds)); err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer stop(nil)
	if err := d.startServers(ctx, stop, &running); err != nil {
		return nil, err
	}
	began := time.Now()
	demand := func(region string) float64 {
		if region == sites[0].region {
			return usual * surgeAt(time.Since(began).Seconds())
		}
		return usual
	}
	early := func(string) float64 { return usual }
	var playing sync.WaitGroup
	defer playing.Wait()
	first, begin := context.WithCancel(ctx)
	defer begin()
	for _, c := range crowds {
		c.servers = d.servers
		playing.Go(func() { c.run(first, early) })
	}
	if err := d.calm(ctx, crowds); err != nil {
		return nil, cause(ctx, err)
	}
	begin()
	playing.Wait()
	began = time.Now()
	for _, c := range crowds {
		c.sum = totals{}
		playing.Go(func() { c.run(ctx, demand) })
	}
	fmt.Fprintf(o.Out, "Three regions of %d endpoints; each is to take %g requests a second and can\ntake %g. In "+
		"each region %d resolvers ask two servers, and keep the answers\n"+
		"for %v. A crowd %g times as large as usual comes to %s: its clients\nalone want %.0f %% of its target.\n\n",
		endpointsEach, surgeTarget, surgeMax, resolversEach, surgeTTL, surgeTimes, sites[0].region,
		100*surgeTimes*usual/(surgeTarget*endpointsEach))
	fmt.Fprintf(o.Out, "Watch why, from another terminal:\n\n  %[1]s status --admin http://%[2]s\n  %[1]s explain "+
		"%[3]s A --client 80.128.7.1 \\\n      --admin http://%[2]s\n\n",
		d.Command, d.servers[0].admin, crowds[0].name)
	film := d.film(ctx, crowds, began)
	stop(nil)
	playing.Wait()
	if err := context.Cause(ctx); len(film.moments) == 0 {
		return nil, err
	}
	film.verdict(o.Out, o.Colour)
	if n := film.last(0).totals.broken; n > 0 {
		return film, fmt.Errorf("%d endpoints broke although their pools spill: this machine may be too busy", n)
	}
	return film, nil
}

// calm waits until every client is answered with its own region and every vantage knows every load.
func (d *demo) calm(ctx context.Context, crowds []*crowd) error {
	ctx, stop := context.WithTimeoutCause(ctx, settleLimit, fmt.Errorf("not all regions are in answers after %v",
		settleLimit))
	defer stop()
	for {
		strange := 0
		for _, c := range crowds {
			strange += c.look(totals{}).strange
		}
		if strange == 0 && pause(ctx, 2*surgeTTL) { // the first answers end at different times
			return nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// Film is what was seen of a surge, over time.
type Film struct {
	crowds  []*crowd
	moments [][]moment // by time and crowd
}

func (f *Film) last(crowd int) moment { return f.moments[len(f.moments)-1][crowd] }

// film watches until the surge is over, and prints a row each second.
func (d *demo) film(ctx context.Context, crowds []*crowd, began time.Time) *Film {
	f := &Film{crowds: crowds}
	f.heads(d.Out, d.Colour)
	before := make([]totals, len(crowds))
	shown := -1
	for pause(ctx, 250*time.Millisecond) {
		at := time.Since(began).Seconds()
		if at > surgeBegins+surgeGrows+surgeLasts+surgeEnds+surgeAfter {
			return f
		}
		var row []moment
		for i, c := range crowds {
			m := c.look(before[i])
			m.at, m.demand = at, surgeAt(at)
			row = append(row, m)
		}
		f.moments = append(f.moments, row)
		if int(at) > shown {
			shown = int(at)
			f.row(d.Out, d.Colour, row)
			for i := range row {
				before[i] = row[i].totals
			}
		}
	}
	return f
}

// short abbreviates a region, for the columns of the film.
func short(region string) string {
	name, _, _ := strings.Cut(region, "-")
	return name
}

func (f *Film) heads(w io.Writer, colour bool) {
	var b strings.Builder
	b.WriteString("               ")
	for _, c := range f.crowds {
		fmt.Fprintf(&b, "%s%s", screen.Paint(c.title+", % of target", screen.Bold, colour),
			strings.Repeat(" ", 32-len(c.title+", % of target")))
	}
	b.WriteString("\n TIME  CROWD  ")
	for _, c := range f.crowds {
		for _, s := range c.sites {
			fmt.Fprintf(&b, " %7s", short(s.region))
		}
		b.WriteString("    LOST")
	}
	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}

func (f *Film) row(w io.Writer, colour bool, row []moment) {
	var b strings.Builder
	fmt.Fprintf(&b, "%4.0fs  ×%-4.1f ", row[0].at, row[0].demand)
	for i, c := range f.crowds {
		m := row[i]
		for _, s := range c.sites {
			text, paint := fmt.Sprintf("%.0f", 100*m.load[s.region]), screen.Green
			switch {
			case m.broken[s.region] > 0:
				text, paint = fmt.Sprintf("%d/%d✗", m.broken[s.region], endpointsEach), screen.Red
			case m.load[s.region] > surgeMax/surgeTarget:
				paint = screen.Red
			case m.load[s.region] > 1.1:
				paint = screen.Yellow
			}
			b.WriteString(strings.Repeat(" ", max(0, 8-len([]rune(text)))) + screen.Paint(text, paint, colour))
		}
		fmt.Fprintf(&b, " %5.1f %%", 100*m.lost)
	}
	fmt.Fprintln(w, b.String())
}

// verdict prints how the surge ended.
func (f *Film) verdict(w io.Writer, colour bool) {
	fmt.Fprintln(w)
	for i, c := range f.crowds {
		t, paint := f.last(i).totals, screen.Green
		if t.broken > 0 {
			paint = screen.Red
		}
		fmt.Fprintf(w, "%s %d endpoints broke, %.1f %% of all requests were lost,\n            %.1f %% came to an "+
			"endpoint that was above its max\n",
			screen.Paint(fmt.Sprintf("%-11s", c.title+":"), paint,
				colour), t.broken, 100*t.lost/t.requests, 100*t.over/t.requests)
	}
}
