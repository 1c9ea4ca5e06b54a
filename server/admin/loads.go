package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// loads tells what pools carry against what they can, of those that say.
func (s *Status) loads() *Table {
	t := &Table{Heads: []string{"POOL", "LOAD", "OFFERED", "TARGET", "MAX", "KEEPS", "WARM", "ENDPOINTS WANTED"}}
	for i := range s.Pools {
		p := &s.Pools[i]
		l := p.LoadStatus
		if l == nil {
			continue
		}
		share := func(f float64) Cell {
			if f >= 1 {
				return Cell{"all", Green}
			}
			return Cell{fmt.Sprintf("%.0f %%", 100*f), Yellow}
		}
		load, offered := Cell{Text: "?"}, Cell{Text: "?"}
		if l.Load.Known {
			load.Text = Figure(l.Load.Value)
			switch {
			case l.Max > 0 && l.Load.Value > l.Max:
				load.Colour = Red
			case l.Target > 0 && l.Load.Value > l.Target:
				load.Colour = Yellow
			}
		}
		if l.Offered.Known {
			offered.Text = Figure(l.Offered.Value)
		}
		of := func(f float64) Cell {
			if f == 0 {
				return Cell{"-", Grey}
			}
			return Cell{Text: Figure(f)}
		}
		wanted := Cell{"-", Grey}
		if l.Wanted > 0 {
			wanted = Cell{Text: fmt.Sprintf("%d of %d", l.Wanted, p.Total)}
			if l.Wanted > p.Total {
				wanted.Colour = Yellow
			}
		}
		t.Add(Cell{p.Pool, Bold}, load, offered, of(l.Target), of(l.Max), share(l.Keep), share(l.Warmth), wanted)
	}
	return t
}

// Burdened puts among the problems what is wrong with what pools say that they carry.
func (s *Status) Burdened() {
	say := func(resource, text string) {
		s.Problems = append(s.Problems, Problem{Resource: resource, Field: "load", InService: InServiceNewest, Message: text})
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		l := p.LoadStatus
		if l == nil {
			continue
		}
		switch {
		case l.Target > 0 && l.Unsaid && !l.Load.Known:
			say("pools/"+p.Pool, "it has a capacity, and nobody has told its load: nothing is passed on; let endpoints answer probes with endpoint-load-metrics")
		case l.Target > 0 && l.Unsaid:
			say("pools/"+p.Pool, fmt.Sprintf("nobody tells its load any more: the last that is known, %s offered, stands", Figure(l.Offered.Value)))
		}
		if l.Max > 0 && l.Load.Known && l.Load.Value > l.Max {
			say("pools/"+p.Pool, fmt.Sprintf("it carries %s, beyond the max of %s at which it breaks", Figure(l.Load.Value), Figure(l.Max)))
		}
		for _, d := range l.Doubted {
			counts := "counts as they do"
			if d.Says > d.Others*d.Target {
				counts = "counts with four times that"
			}
			say("endpoints/"+p.Pool+"/"+d.Endpoint, fmt.Sprintf("says %s while the others of its pool carry %.2g of their target: %s",
				Figure(d.Says), d.Others, counts))
		}
	}
}

// Figure spells a load with at most four digits that count: "0.62", "1,290", "12,300,000".
func Figure(f float64) string {
	if f != 0 && !math.IsInf(f, 0) {
		digits := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(f))))
		f = math.Round(f*digits) / digits
	}
	whole, part, _ := strings.Cut(strconv.FormatFloat(f, 'f', -1, 64), ".")
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if part != "" {
		return whole + "." + part
	}
	return whole
}
