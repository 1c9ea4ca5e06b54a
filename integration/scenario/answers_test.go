//go:build linux

package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// getting reads a line such as "clients of eu get us or ap from eu": whose clients, what they get, and from which
// servers.
func (x *scenario) getting(a script.Args) (servers, clients []*lab.Region, wanted want, err error) {
	text, from, _ := strings.Cut(a.Text(1), " from ")
	from = cmp.Or(strings.TrimSpace(from), "all")
	if err := known("R", from); err != nil {
		return nil, nil, wanted, err
	}
	wanted, err = parseWant(x.w, strings.TrimSpace(text))
	return x.regions(from), x.regions(a.Text(0)), wanted, err
}

func (x *scenario) promiseClients(limit time.Duration, a script.Args) error {
	servers, clients, wanted, err := x.getting(a)
	if err == nil {
		x.promise(servers, clients, wanted, limit)
	}
	return err
}

func (x *scenario) clientsGet(a script.Args) error {
	servers, clients, wanted, err := x.getting(a)
	if err != nil {
		return err
	}
	var tracks []*track
	for _, s := range servers {
		for _, c := range clients {
			tracks = append(tracks, x.tracks.track(s.Name, c.Name))
		}
	}
	for _, k := range tracks {
		if err := keeping(k, wanted, x.begun); err != nil {
			return err
		}
	}
	for _, k := range tracks {
		x.keep(k)
	}
	return nil
}

func (x *scenario) promiseAnswers(limit time.Duration, a script.Args) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.regions(a.Text(0)) {
		if ws := x.losses[s.Name]; len(ws) > 0 && ws[len(ws)-1].Until.IsZero() {
			ws[len(ws)-1].Until = time.Now().Add(limit + grace)
		}
	}
	return nil
}

func (x *scenario) answers(r *lab.Region, _ script.Args) error {
	own := x.tracks.track(r.Name, r.Name).since(x.begun)
	if !slices.ContainsFunc(own, func(s *sighting) bool { return !s.lost }) {
		return errors.New("it has answered nothing")
	}
	return nil
}

func (x *scenario) askMore(r *lab.Region, a script.Args) error {
	x.tracks.more(r, time.Second/time.Duration(a.Int(1)))
	return nil
}

func (x *scenario) maySilence(r *lab.Region, _ script.Args) error {
	x.excuse(r.Name)
	return nil
}

func (x *scenario) noteIs(r *lab.Region, a script.Args) error {
	want := []string{fmt.Sprintf("%q", a.Text(1))}
	if a.Text(1) == "nothing" {
		want = []string{"NXDOMAIN"}
	}
	m, err := lab.Ask(r.Host, r.Server.DNS, lab.Question{Name: "note.example.test", Qtype: dns.TypeTXT})
	if err != nil {
		return err
	}
	if got := lab.VerdictOf(m); !slices.Equal(got, want) {
		return fmt.Errorf("it says %v", got)
	}
	return nil
}
