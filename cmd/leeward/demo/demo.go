// Package demo runs everything on one machine, without installing anything:
//
//	clients in three places ──DNS──▶ ns1, ns2 ◀──resources, reports──▶ etcd ◀── probe-ap
//	                                    │                                          │
//	                                    └──────HTTP probes──▶ three regions ◀──────┘
//	                                                          (keys cut and restore them)
//
// Nothing is simulated. The servers run as `leeward serve` runs them, resources are written as `leeward apply` writes
// them, and what the demo shows it has asked over the network: answers by DNS queries over UDP with a client's subnet,
// reports of vantages from the servers' admin interface.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"leeward/cmd/leeward/drill"
	"leeward/cmd/leeward/embedded"
	"leeward/cmd/leeward/process"
	"leeward/cmd/leeward/screen"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/etcd"
	"leeward/zones/store"
)

// Options say what the demo should do.
type Options struct {
	In       io.Reader
	Out      *screen.Page
	Terminal bool // Out is a terminal: the view is drawn in place
	Colour   bool
	Version  string
	Command  string // how to call this program, in commands to paste
	Log      *slog.Logger

	Once  bool          // cut and restore one region, unattended; Run's error says what did not happen in time
	Fail  string        // the region to cut; "": with Once the first, else none
	After time.Duration // from the first answers to the cut
	For   time.Duration // from the cut to the region's return; 0: until a key is pressed
}

// Regions returns the demo's regions.
func Regions() []string {
	var names []string
	for _, s := range newSites() {
		names = append(names, s.region)
	}
	return names
}

// demo is a running demo.
type demo struct {
	Options
	observer
	vantages []string
	etcd     string    // URL
	admin    [2]string // addresses of the servers' admin interfaces
}

// Run runs the demo until it is done, the context ends or a key ends it, and cleans up.
func Run(ctx context.Context, o Options) error {
	d := &demo{Options: o, observer: observer{
		sites: newSites(), clients: clients(),
		http: &http.Client{Timeout: time.Second},
	}}
	d.quieten()
	if _, err := d.site(o.Fail); o.Fail != "" && err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(o.Out, "%6.2fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}

	d.admin = [2]string{adminAddress(8061), adminAddress(8062)}
	fmt.Fprintf(o.Out, "Watch it in a browser, in a moment: http://%s/\n\n", d.admin[0])
	if err := startSites(d.sites); err != nil {
		return err
	}
	defer func() {
		for _, s := range d.sites {
			s.stop()
		}
	}()
	say("three regions of two HTTP endpoints each listen on loopback, port %d", d.sites[0].port)
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		return err
	}
	defer etcd.Close()
	d.etcd = etcd.URL()
	say("etcd runs at %s", d.etcd)
	n, err := d.apply(ctx, documents(d.sites))
	if err != nil {
		return err
	}
	say("%d resources applied", n)

	var running sync.WaitGroup
	defer running.Wait()
	defer stop(nil)
	if err := d.startServers(ctx, stop, &running); err != nil {
		return err
	}
	for _, s := range d.servers {
		say("server %s answers on %s, admin http://%s", s.id, s.dns, s.admin)
	}
	if err := d.settle(ctx); err != nil {
		return cause(ctx, err)
	}
	say("all regions are in answers; vantages %s see every endpoint up", strings.Join(d.vantages, ", "))
	d.intro()
	if o.Once {
		return cause(ctx, d.once(ctx))
	}
	return cause(ctx, d.live(ctx))
}

// quieten discards the log if there is none.
func (d *demo) quieten() {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
}

// cause returns nil if somebody ended the context on purpose.
func cause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if c := context.Cause(ctx); !errors.Is(c, context.Canceled) {
		return c
	}
	return nil
}

func (d *demo) site(region string) (*site, error) {
	for _, s := range d.sites {
		if s.region == region {
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no region %q in the demo; its regions are %s", region,
		strings.Join(Regions(), ", "))
}

// apply reads resources as from a file, checks and writes them. It returns how many it has written.
func (d *demo) apply(ctx context.Context, text string) (int, error) {
	e, err := store.Dial(etcd.Options{Endpoints: []string{d.etcd}, Log: d.Log})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	docs, problems := document.Read("demo.yaml", strings.NewReader(text))
	if err := append(problems, catalog.Check(docs)...).Err(); err != nil {
		return 0, err
	}
	done, err := e.Change(ctx, func(l *store.Listing) (store.Plan, error) {
		edits, _ := zones.Diff(l.Resources(), zones.Resources(docs))
		return store.Plan{Edits: edits, By: "demo"}, nil
	})
	return len(done.Keys), err
}

// startServers runs two servers and a vantage without DNS, and waits until they listen.
func (d *demo) startServers(ctx context.Context, stop context.CancelCauseFunc, running *sync.WaitGroup) error {
	d.vantages = []string{"ns1", "ns2", "probe-ap"}
	started := make(chan node)
	start := func(s process.Settings) {
		s.Etcd, s.Version, s.Log = &etcd.Options{Endpoints: []string{d.etcd}}, d.Version, d.Log.With("vantage", s.ID)
		s.Started = func(r process.Running) {
			n := node{id: s.ID, admin: r.Admin}
			if len(r.DNS) > 0 {
				n.dns = r.DNS[0].String()
			}
			select {
			case started <- n:
			case <-ctx.Done():
			}
		}
		running.Go(func() {
			if err := process.Serve(ctx, s); err != nil {
				stop(fmt.Errorf("%s: %w", s.ID, err))
			}
		})
	}
	start(process.Settings{
		ID: "ns1", Region: "eu-west", Listen: []string{address(5301)},
		Admin: d.admin[0], Drills: drill.Shown,
	})
	start(process.Settings{
		ID: "ns2", Region: "us-east", Listen: []string{address(5302)},
		Admin: d.admin[1], Drills: drill.Shown,
	})
	start(process.Settings{ID: "probe-ap", Region: "ap-south"})
	for range d.vantages {
		select {
		case n := <-started:
			if n.dns != "" {
				d.servers = append(d.servers, n)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if d.servers[0].id != "ns1" {
		d.servers[0], d.servers[1] = d.servers[1], d.servers[0]
	}
	return nil
}

// address returns a loopback address with the port, or with port 0, any port, if that port is in use.
func address(port int) string {
	want := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", want)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	c, err := net.ListenPacket("udp", want)
	if err != nil {
		return "127.0.0.1:0"
	}
	c.Close()
	return want
}

// adminAddress returns a loopback address with the port, or with a free one if that port is in use: the address is told
// before anything listens there.
func adminAddress(port int) string {
	for _, want := range []int{port, 0} {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", want)); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return "127.0.0.1:0"
}

// settleLimit is how long it may take until all regions are in answers.
const settleLimit = 20 * time.Second

// settle waits until every vantage has reported and every client is answered from its own region.
func (d *demo) settle(ctx context.Context) error {
	var last sight
	limited, stop := context.WithTimeout(ctx, settleLimit)
	defer stop()
	err := d.watch(limited, 100*time.Millisecond, func(s sight) bool { last = s; return d.settled(&s, d.vantages) })
	if err == nil || ctx.Err() != nil {
		return err
	}
	var b strings.Builder
	d.answersTable(&last).Write(&b, false)
	if len(last.statuses) > 0 && last.statuses[0] != nil {
		screen.Status(&b, last.statuses[0], false)
	}
	return fmt.Errorf("not all regions are in answers after %v:\n%s", settleLimit, b.String())
}

// intro says what to try in another terminal.
func (d *demo) intro() {
	fmt.Fprintf(d.Out, "\nAsk yourself, as a resolver of clients in Europe, America and Asia:\n\n")
	for i, c := range d.clients {
		server := d.servers[i%len(d.servers)]
		host, port, _ := net.SplitHostPort(server.dns)
		fmt.Fprintf(d.Out, "  dig @%s -p %s %s A +subnet=%s\n", host, port, steered, c.subnet)
	}
	fmt.Fprintf(d.Out, "\nand why:\n\n  %[1]s status --admin http://%[2]s\n  %[1]s explain %[3]s A --client %[4]s "+
		"\\\n      --admin http://%[2]s\n  %[1]s get --etcd %[5]s\n\n",
		d.Command, d.servers[0].admin, steered, d.clients[0].subnet.Addr().Next(), d.etcd)
}

// once cuts and restores one region, and prints the timeline.
func (d *demo) once(ctx context.Context) error {
	region := d.sites[0]
	if d.Fail != "" {
		region, _ = d.site(d.Fail)
	}
	if !pause(ctx, d.After) {
		return context.Cause(ctx)
	}
	t, err := d.drill(ctx, region)
	t.table.Write(d.Out, d.Colour)
	if err != nil {
		return err
	}
	if t.unanswered > 0 {
		fmt.Fprintf(d.Out, "\n%d queries were not answered within a second\n", t.unanswered)
	}
	slowest := time.Duration(0)
	for _, n := range d.servers {
		slowest = max(slowest, t.seen[leftEvent(n.id, region.region)])
	}
	fmt.Fprintf(d.Out, "\n%s %s left all answers %.2fs after it was cut (allowed: %d × %v + %v + %v = %v) and came "+
		"back.\n",
		screen.Paint("ok:", screen.Green, d.Colour), region.region, slowest.Seconds(),
		fall, interval, timeout, slack, budget)
	return nil
}

// pause waits. It returns false if the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
