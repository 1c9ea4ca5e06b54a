package admin

import "fmt"

// Burdened adds to the problems what is wrong with the loads of pools.
func (s *Status) Burdened() {
	say := func(resource, text string) {
		s.Problems = append(s.Problems,
			Problem{Resource: resource, Field: "load", InService: InServiceNewest, Message: text})
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		l := p.LoadStatus
		if l == nil {
			continue
		}
		switch {
		case l.Target > 0 && l.Unsaid && !l.Load.Known:
			say("pools/"+p.Pool, "it has a capacity, and nobody has reported its load: nothing is passed on; let "+
				"endpoints answer probes with endpoint-load-metrics")
		case l.Target > 0 && l.Unsaid:
			say("pools/"+p.Pool, fmt.Sprintf("nobody reports its load any more: the last known load, %s "+
				"offered, stands", Figure(l.Offered.Value)))
		}
		if l.Max > 0 && l.Load.Known && l.Load.Value > l.Max {
			say("pools/"+p.Pool, fmt.Sprintf("it carries %s, beyond the max of %s at which it breaks",
				Figure(l.Load.Value), Figure(l.Max)))
		}
		for _, d := range l.Doubted {
			counts := "counts as they do"
			if d.Says > d.Others*d.Target {
				counts = "counts with four times that"
			}
			say("endpoints/"+p.Pool+"/"+d.Endpoint, fmt.Sprintf("says %s while the others of its pool carry %.2g of "+
				"their target: %s",
				Figure(d.Says), d.Others, counts))
		}
	}
}
