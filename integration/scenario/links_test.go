//go:build linux

package scenario

import (
	"leeward/integration/lab"
	"leeward/integration/script"
)

func (x *scenario) isolate(r *lab.Region, _ script.Args) error {
	x.excuse(r.Name)
	x.w.Yard.Cut(x.t, r.Host)
	return nil
}

func (x *scenario) rejoin(r *lab.Region, _ script.Args) error {
	x.w.Yard.Heal(x.t, r.Host)
	return nil
}

// weather changes the links between hosts, one way: from the hosts of one word to those of the other.
func (x *scenario) weather(from, to string, change func(*lab.Weather)) {
	for _, a := range x.hosts(from) {
		for _, b := range x.hosts(to) {
			if a != b {
				x.w.Yard.Forwarder.Set(a, b, change)
			}
		}
	}
}

func (x *scenario) hosts(text string) (names []string) {
	if text == "client" {
		return []string{text}
	}
	for _, r := range x.regions(text) {
		names = append(names, r.Name)
	}
	return names
}

// both is weather both ways.
func (x *scenario) both(from, to string, change func(*lab.Weather)) error {
	x.weather(from, to, change)
	x.weather(to, from, change)
	return nil
}

func (x *scenario) cutBoth(a script.Args) error {
	return x.both(a.Text(0), a.Text(1), func(w *lab.Weather) { w.Cut = true })
}

func (x *scenario) cutOneWay(a script.Args) error {
	x.weather(a.Text(0), a.Text(1), func(w *lab.Weather) { w.Cut = true })
	return nil
}

func (x *scenario) join(a script.Args) error {
	return x.both(a.Text(0), a.Text(1), func(w *lab.Weather) { w.Cut = false })
}

func (x *scenario) cutFromEtcd(a script.Args) error {
	return x.both(a.Text(0), "all", func(w *lab.Weather) { w.Port = 2379 })
}

func (x *scenario) joinToEtcd(a script.Args) error {
	return x.both(a.Text(0), "all", func(w *lab.Weather) { w.Port = 0 })
}

func (x *scenario) loseProbes(a script.Args) error {
	x.weather(a.Text(0), "all", func(w *lab.Weather) { w.To = 80 })
	return nil
}

func (x *scenario) loseIPv6Probes(a script.Args) error {
	x.weather(a.Text(0), "all", func(w *lab.Weather) { w.To, w.Six = 80, true })
	return nil
}

func (x *scenario) passProbes(a script.Args) error {
	x.weather(a.Text(0), "all", func(w *lab.Weather) { w.To, w.Six = 0, false })
	return nil
}

func (x *scenario) worsenLink(a script.Args) error {
	return x.both(a.Text(0), a.Text(1), func(w *lab.Weather) { w.Loss, w.Delay = a.Share(2), a.Duration(3) })
}
