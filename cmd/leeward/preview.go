package main

import (
	"context"
	"fmt"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/process"
	"leeward/zones"
)

// preview is what is foretold of a change that is about to be made. It never keeps a change from being made by failing
// itself.
type preview struct{ of *control.Forecast }

// preview works it out, and shows it where there are loads to show.
func (inv *invocation) preview(ctx context.Context, o *process.Observer, q control.Question, show bool) *preview {
	f, err := o.Foresee(ctx, q)
	if err != nil {
		fmt.Fprintf(inv.told, "What the others would carry cannot be foretold: %v\n", err)
		return &preview{}
	}
	if show && f.Measured() {
		inv.printf("\n")
		if err := inv.forecast(f); err != nil {
			fmt.Fprintln(inv.told, err)
		}
	}
	return &preview{f}
}

// forecast returns it; nil where there is none, or nothing is measured.
func (p *preview) forecast() *control.Forecast {
	if p == nil || p.of == nil || !p.of.Measured() {
		return nil
	}
	return p.of
}

// refused says why the change is not to be made.
func (p *preview) refused(force bool) error {
	f := p.forecast()
	if f == nil || force {
		return nil
	}
	if broken := f.Broken(); len(broken) > 0 {
		return fmt.Errorf("nothing was written: above its max would be %s; add capacity, or add --force", poolsOf(broken))
	}
	return nil
}

// afterwards replaces resources by documents.
func afterwards(docs []zones.Document) func(map[zones.Key]zones.Resource) {
	return func(rs map[zones.Key]zones.Resource) {
		clear(rs)
		for _, d := range docs {
			if k := d.Resource.Key(); k.Kind() != zones.KindRecord {
				rs[k] = d.Resource
			}
		}
	}
}
