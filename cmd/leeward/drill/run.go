package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/process"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/store"
)

// Options say how to run a drill.
type Options struct {
	Etcd     *store.Store
	Observer *process.Observer
	Target   string
	For      time.Duration // including both ramps; 10 s or more
	Ramp     time.Duration // zero: four TTLs of the policies concerned, at most a quarter of For; none for an endpoint
	Reason   string
	By       string
	Force    bool
	DryRun   bool // only check whether it could start
	// to ask for the names of the policies concerned
	Resolvers []Resolver
	// returns the policies that would be left with nothing, "" for none
	Alone    func(*store.Listing, *admin.Status, zones.Override) string
	Say      func(at time.Time, text string) // called when something happens
	Foretold func(*control.Forecast)
}

// Times of a drill. If the lease cannot be extended, the drill ends as if this process were gone.
const (
	lease   = 15 * time.Second
	ahead   = 2 * time.Second // so that every server has it before it begins
	look    = time.Second
	goodbye = 10 * time.Second // for attempts to take back a drill that is called off
)

// Run runs a drill to its end, whatever that is, and returns the report. If the drill could not begin, it returns an
// error and no report.
func Run(ctx context.Context, o Options) (*Report, error) {
	base, err := o.Etcd.List(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	p := concernedBy(base, o.Target)
	ramp := o.Ramp
	if ramp == 0 && !strings.HasPrefix(o.Target, "endpoint/") { // which goes at once
		ramp = min(4*p.ttl, o.For/4).Truncate(time.Second)
	}
	from := now.Truncate(time.Second).Add(ahead)
	until := from.Add(o.For)
	d := &drill{o: o, plan: p, report: &Report{
		ID: now.Truncate(time.Second).Format(time.RFC3339), Target: o.Target, Reason: o.Reason, By: o.By,
		From: from, Until: until, Ramp: ramp.Seconds(), Outcome: Running, Events: []Event{},
	}}
	d.override = &zones.Override{
		Target: o.Target, State: zones.Drain, From: &from, Until: &until, Ramp: zones.Duration(ramp),
		Drill: true, Reason: reason(o),
	}
	if wrong := zones.Validate(d.override).Errors(); len(wrong) > 0 {
		return nil, fmt.Errorf("%s: %s", wrong[0].Field, wrong[0].Message)
	}
	unfit, err := d.preflight(ctx, base)
	if err != nil {
		return nil, err
	}
	if len(unfit) > 0 && !o.Force {
		d.end(Unfit, strings.Join(unfit, "; "))
		if !o.DryRun {
			d.keep(ctx)
		}
		return d.report, nil
	}
	d.report.Doubts = unfit
	if o.DryRun {
		return d.report, nil
	}
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	d.keep(ctx) // from now on the history has it, whatever happens to this process
	outcome, why := d.watch(ctx)
	if outcome != Succeeded {
		d.callOff()
	} else {
		d.lay(context.WithoutCancel(ctx)) // it has ended: leave no override behind
	}
	d.end(outcome, why)
	d.keep(context.WithoutCancel(ctx))
	return d.report, nil
}

func reason(o Options) string {
	text := "drill by " + o.By
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

// drill is a drill that is running.
type drill struct {
	o        Options
	plan     concerned
	status   *admin.Status // as preflight had it
	override *zones.Override
	report   *Report
	lease    etcd.Lease
	revision int64
	serving  map[string]bool // servers that have the override
	phase    int
	unkept   bool
}

func (d *drill) say(at time.Time, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.report.event(at, text)
	d.o.Say(at, text)
}

// begin writes the override, on a lease that this process must extend.
func (d *drill) begin(ctx context.Context) error {
	key := d.override.Key()
	done, err := d.o.Etcd.Change(ctx, func(base *store.Listing) (store.Plan, error) {
		if err := d.still(base); err != nil {
			return store.Plan{}, err
		}
		edit := zones.Edit{Key: key, New: d.override}
		for _, c := range base.Changes {
			switch o, is := c.Resource.(*zones.Override); {
			case c.Key != key:
			case !is: // a version that cannot be read
				return store.Plan{}, fmt.Errorf("%s has an override now; see leeward get overrides",
					d.o.Target)
			default:
				edit.Old = o // whose time is over
			}
		}
		return store.Plan{By: d.o.By, Edits: []zones.Edit{edit}, Leases: map[zones.Key]time.Duration{key: lease}}, nil
	})
	if err != nil {
		return err
	}
	d.revision = done.Revision
	held, _, err := d.o.Etcd.Within(callWait).Get(ctx, string(key))
	if err == nil && held == nil {
		err = errors.New("somebody has taken it away")
	}
	if err != nil {
		return fmt.Errorf("the drill is written but cannot be read, so it ends within %v: %w", lease, err)
	}
	d.lease = held.Lease
	d.say(time.Now(), "written at revision %d: begins %s, ends %s, or within %v if this process dies", d.revision,
		clock(d.report.From), clock(d.report.Until), lease)
	return nil
}

// watch watches the drill until it ends, and says how.
func (d *drill) watch(ctx context.Context) (Outcome, string) {
	lost, err := d.o.Etcd.Keep(ctx, d.lease)
	if err != nil {
		return Interrupted, fmt.Sprintf("the lease cannot be extended: %v", err)
	}
	d.serving = map[string]bool{}
	tick := time.NewTicker(look)
	defer tick.Stop()
	there := false
	end := d.report.Until.Add(d.plan.ttl + time.Second) // resolvers' caches have expired by then
	for {
		select {
		case <-ctx.Done():
			return Interrupted, "it was called off at the terminal"
		case <-lost:
			lost = nil
			if time.Now().Before(d.report.Until) && ctx.Err() == nil {
				return Interrupted, "etcd has deleted the drill: its lease was not extended in time, or somebody has " +
					"revoked it"
			}
			continue
		case <-tick.C:
		}
		now := time.Now()
		w, err := d.o.Observer.Drill(ctx, d.o.Target)
		if err != nil {
			continue // the context has ended
		}
		d.see(ctx, now, w)
		there = there || w.There
		switch {
		case w.Why != "" && w.Broke:
			return Failed, w.Why
		case w.Why != "":
			return Interrupted, w.Why
		case there && !w.There && now.Before(d.report.Until):
			return Interrupted, "somebody has taken the override back (leeward restore, or another writer to etcd)"
		case !now.Before(end):
			return Succeeded, ""
		}
	}
}

// see adds an observation to the course, and says what has happened.
func (d *drill) see(ctx context.Context, now time.Time, w *control.Watched) {
	for _, s := range w.Status.Servers {
		if s.ID != "" && s.Fresh && s.Revision >= d.revision && !d.serving[s.ID] {
			d.serving[s.ID] = true
			d.say(now, "%s has it", s.ID)
		}
	}
	turns := []struct {
		at   time.Time
		text string
	}{
		{d.report.From, fmt.Sprintf("begins: %s loses its clients", d.o.Target)},
		{
			d.report.From.Add(d.override.Ramp.Std()),
			"it has none left in answers; caches of resolvers expire within a TTL, " + d.plan.ttl.String(),
		},
		{d.report.Until.Add(-d.override.Ramp.Std()), "it gets its clients back"},
		{d.report.Until, "ends: it has all of them again"},
	}
	for d.phase < len(turns) && !now.Before(turns[d.phase].at) {
		d.say(turns[d.phase].at, "%s", turns[d.phase].text)
		d.phase++
	}
	at := d.report.Seconds(now)
	if at < 0 || !d.report.Course.due(at) {
		return
	}
	var pools []Pool
	for _, p := range w.Status.Pools {
		of := Pool{
			Pool: p.Pool, Region: p.Region, Away: d.plan.whole && d.plan.pools[p.Pool],
			Up: []float64{float64(p.Healthy)},
		}
		if s := p.LoadStatus; s != nil {
			of.Target, of.Max = s.Target, s.Max
			if s.Load.Known {
				of.Load = []float64{s.Load.Value}
			}
		}
		if w.Led != nil {
			of.Queries = []float64{w.Led[p.Pool]}
		}
		if d.plan.pools[p.Pool] || d.concerns(p.Pool, w) {
			pools = append(pools, of)
		}
	}
	d.report.Course.add(at, pools, d.asked(ctx, w.Status))
}

// concerns reports whether a pool serves clients of the target, now or earlier in the drill.
func (d *drill) concerns(pool string, w *control.Watched) bool {
	return w.Carriers[pool] || slices.ContainsFunc(d.report.Course.Pools, func(p *Pool) bool { return p.Pool == pool })
}

// callOff deletes the override. If etcd cannot be reached, it says how the drill will end.
func (d *drill) callOff() {
	ctx, stop := context.WithTimeout(context.Background(), goodbye)
	defer stop()
	if err := d.lay(ctx); err != nil {
		d.say(time.Now(), "the drill cannot be taken back: %v. Servers that cannot reach etcd give it up by "+
			"themselves, "+
			"etcd deletes it within %v once it has a quorum, and it ends %s in any case",
			err, lease, clock(d.report.Until))
		return
	}
	d.say(time.Now(), "taken back: %s has all its clients again", d.o.Target)
}

// lay deletes the override by revoking its lease, so that it cannot delete what somebody else has written since.
func (d *drill) lay(ctx context.Context) error {
	var err error
	for {
		if err = d.o.Etcd.Within(callWait).Revoke(ctx, d.lease); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second / 2):
		}
		if _, bounded := ctx.Deadline(); !bounded {
			return err
		}
	}
}

func (d *drill) end(outcome Outcome, why string) {
	d.report.Outcome, d.report.Why, d.report.Ended = outcome, why, time.Now().UTC().Round(time.Millisecond)
	text := string(outcome)
	if why != "" {
		text += ": " + why
	}
	d.say(d.report.Ended, "%s", text)
}

// keep saves the report in the history. The first failure is said, later ones are not.
func (d *drill) keep(ctx context.Context) {
	if err := (History{d.o.Etcd.Cluster}).Save(ctx, d.report); err != nil && !d.unkept {
		d.unkept = true
		d.say(time.Now(), "%v", err)
	}
}

// clock spells a time of the drill.
func clock(at time.Time) string { return at.UTC().Format("15:04:05") + " UTC" }
