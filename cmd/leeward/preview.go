package main

import (
	"context"
	"fmt"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/process"
	"leeward/zones"
)

// preview is the forecast of a change that is about to be made. If there can be no forecast, that does not prevent the
// change.
type preview struct{ of *control.Forecast }

// preview makes the forecast, and shows it if loads are measured.
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

// forecast returns the forecast; nil if there is none, or no load is measured.
func (p *preview) forecast() *control.Forecast {
	if p == nil || p.of == nil || !p.of.Measured() {
		return nil
	}
	return p.of
}

// refused says why the change must not be made; nil: it may.
func (p *preview) refused(force bool) error {
	f := p.forecast()
	if f == nil || force {
		return nil
	}
	if broken := f.Broken(); len(broken) > 0 {
		return fmt.Errorf("nothing was written: %s would be above its max; add capacity, or use --force",
			poolsOf(broken))
	}
	return nil
}

// afterwards returns a function that replaces all resources by the documents.
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
