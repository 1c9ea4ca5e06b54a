package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"leeward/cmd/leeward/screen"
)

// live shows who gets which answer, and lets keys cut and restore regions, until the context or a key ends it.
func (d *demo) live(ctx context.Context) error {
	keys, err := openKeyboard(d.In)
	if err != nil {
		return err
	}
	defer keys.restore()
	v := view{demo: d, began: time.Now(), keys: keys.keys != nil, last: map[string]string{}}
	sights := make(chan sight)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go d.watch(ctx, 100*time.Millisecond, func(s sight) bool {
		select {
		case sights <- s:
		case <-ctx.Done():
		}
		return false
	})
	var cut, back <-chan time.Time
	if d.Fail != "" {
		timer := time.NewTimer(d.After)
		defer timer.Stop()
		cut = timer.C
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-sights:
			v.show(&s)
		case <-cut:
			region, _ := d.site(d.Fail)
			v.cut(region)
			if d.For > 0 {
				timer := time.NewTimer(d.For)
				defer timer.Stop()
				back = timer.C
			}
		case <-back:
			region, _ := d.site(d.Fail)
			if err := v.restore(ctx, region); err != nil {
				return err
			}
		case key, open := <-keys.keys:
			switch {
			case !open || key == 'q' || key == 'Q' || key == ctrlC || key == ctrlD:
				return nil
			case key >= '1' && int(key-'1') < len(d.sites):
				site := d.sites[key-'1']
				if !site.cut() {
					v.cut(site)
				} else if err := v.restore(ctx, site); err != nil {
					return err
				}
			}
		}
	}
}

// view is what is shown: on a terminal tables that are drawn in place, elsewhere a line for each change.
type view struct {
	*demo
	began time.Time
	keys  bool
	lines int               // of the last drawing, which the next covers
	last  map[string]string // last state, by subject
	news  []string
	since time.Time // of the last cut or return
}

// mostNews is how many changes stay on the screen.
const mostNews = 8

func (v *view) cut(s *site) {
	s.stop()
	v.since = time.Now()
	v.tell(fmt.Sprintf("%s is cut: its endpoints refuse connections", s.region))
}

func (v *view) restore(ctx context.Context, s *site) error {
	if err := s.restart(ctx); err != nil {
		return err
	}
	v.since = time.Now()
	v.tell(fmt.Sprintf("%s is restored: its endpoints listen again", s.region))
	return nil
}

// tell shows a change.
func (v *view) tell(what string) {
	line := fmt.Sprintf("%7.2fs  %s", time.Since(v.began).Seconds(), what)
	if !v.Terminal {
		fmt.Fprintln(v.Out, line)
		return
	}
	v.news = append(v.news, line)
	if len(v.news) > mostNews {
		v.news = v.news[1:]
	}
}

// show reports what has changed since the last look, and draws.
func (v *view) show(s *sight) {
	for _, site := range v.sites {
		for i, n := range v.servers {
			v.change(n.id+" on "+site.region, s.verdict(i, site.region), func(state string) string {
				return fmt.Sprintf("%s: the verdict on %s is %s%s", n.id, site.region, state, v.after(s.at))
			})
		}
	}
	for i, n := range v.servers {
		for k, c := range v.clients {
			region := s.answers[i][k].region
			if s.answers[i][k].err != nil {
				region = "nobody"
			}
			v.change(n.id+" to "+c.place, region, func(region string) string {
				return fmt.Sprintf("%s answers %s with %s%s", n.id, c.place, region, v.after(s.at))
			})
		}
	}
	if v.Terminal {
		v.draw(s)
	}
}

// change reports the state of a subject if it is new.
func (v *view) change(subject, now string, text func(string) string) {
	if now == "" {
		return // between two states
	}
	before, known := v.last[subject]
	v.last[subject] = now
	if before != now && (known || !v.Terminal) {
		v.tell(text(now))
	}
}

func (v *view) after(at time.Time) string {
	if v.since.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (+%.2fs)", at.Sub(v.since).Seconds())
}

// draw draws over the last drawing. Lines end in CR LF, because the terminal is in raw mode.
func (v *view) draw(s *sight) {
	var b strings.Builder
	v.regionsTable(s).Write(&b, v.Colour)
	b.WriteByte('\n')
	v.answersTable(s).Write(&b, v.Colour)
	b.WriteByte('\n')
	for _, line := range v.news {
		b.WriteString(line + "\n")
	}
	if v.keys {
		b.WriteString("\n[1] [2] [3] cut or restore a region   [q] quit\n")
	} else {
		b.WriteString("\nCtrl-C ends the demo\n")
	}
	text := screen.Cut(b.String(), v.Out.Columns())
	over := ""
	if v.lines > 0 {
		over = fmt.Sprintf("\x1b[%dA\r\x1b[J", v.lines)
	}
	v.lines = strings.Count(text, "\n")
	// Without wrapping a line that is too long stays one line, so that v.lines is right.
	io.WriteString(v.Out, "\x1b[?7l"+over+strings.ReplaceAll(text, "\n", "\r\n")+"\x1b[?7h")
}

// regionsTable shows each region's endpoints and the servers' verdicts.
func (d *demo) regionsTable(s *sight) *screen.Table {
	t := &screen.Table{Heads: []string{"", "REGION", "ENDPOINTS", "NOW"}}
	for _, n := range d.servers {
		t.Heads = append(t.Heads, n.id+" SEES")
	}
	for k, site := range d.sites {
		var addresses []string
		for _, a := range site.addresses {
			addresses = append(addresses, a.String())
		}
		now := screen.Cell{Text: "serving", Colour: screen.Green}
		if site.cut() {
			now = screen.Cell{Text: "cut", Colour: screen.Red}
		}
		row := []screen.Cell{
			{Text: fmt.Sprintf("[%d]", k+1), Colour: screen.Bold},
			{Text: site.region},
			{Text: strings.Join(addresses, " ")},
			now,
		}
		for i := range d.servers {
			c := screen.Cell{Text: s.verdict(i, site.region)}
			switch c.Text {
			case "up":
				c.Colour = screen.Green
			case "down":
				c.Colour = screen.Red
			case "":
				c = screen.Cell{Text: "partly", Colour: screen.Yellow}
			}
			row = append(row, c)
		}
		t.Add(row...)
	}
	return t
}

// answersTable shows what each server answers each client.
func (d *demo) answersTable(s *sight) *screen.Table {
	t := &screen.Table{Heads: []string{"CLIENT", "SUBNET"}}
	for _, n := range d.servers {
		t.Heads = append(t.Heads, n.id+" ANSWERS")
	}
	for k, c := range d.clients {
		row := []screen.Cell{{Text: c.place, Colour: screen.Bold}, {Text: c.subnet.String()}}
		for i := range d.servers {
			row = append(row, s.answers[i][k].cell(c.near))
		}
		t.Add(row...)
	}
	return t
}

func (a *answer) cell(near string) screen.Cell {
	if a.err != nil {
		return screen.Cell{Text: "no answer: " + a.err.Error(), Colour: screen.Red}
	}
	texts := make([]string, len(a.reply.addresses))
	for i, address := range a.reply.addresses {
		texts[i] = address.String()
	}
	c := screen.Cell{
		Text:   fmt.Sprintf("%s: %s, scope /%d", a.region, strings.Join(texts, " "), a.reply.scope),
		Colour: screen.Green,
	}
	if a.region != near {
		c.Colour = screen.Yellow
	}
	return c
}
