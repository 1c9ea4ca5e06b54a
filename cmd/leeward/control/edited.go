package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
)

// This file describes changes of the configuration for the history: which keys changed, from what, to what, and in
// words.

// mostReplaced is how many resources one batch may replace for the history to record what each was before.
const mostReplaced = 10_000

// pending is an event that is reported once the change is served.
type pending struct {
	event history.Event
	fill  func(*history.Event)
}

// changes returns the events for what a batch changed, to be reported when it is adopted. was has what it replaced.
func (l *Loop) changes(
	b batchHead, d catalog.Delta, was map[zones.Key]catalog.Replaced, lacks bool,
) (all []pending) {
	tell := func(e history.Event, fill func(*history.Event)) { all = append(all, pending{e, fill}) }
	switch {
	case !l.tells() || !d.Full && len(d.Keys) == 0 && !b.anew:
		return nil
	case d.Full:
		text := fmt.Sprintf("%d resources were read", l.catalog.Count())
		e := history.Event{Kind: history.Changed, Revision: b.newest, Text: text}
		if b.copy {
			e.Text += " from the copy on disk"
		} else { // there is no copy that could tell what has changed since this server's last run
			e.Missed = &history.Missed{From: l.o.Now(), Until: l.o.Now(), Changes: true}
			e.Text += "; what changed before is not known"
		}
		return append(all, pending{event: e})
	}
	if b.anew {
		tell(history.Event{
			Kind: history.Source, Revision: b.revision, Anew: true,
			Text: "another history of the source was accepted: revisions begin again",
		}, nil)
	}
	edits, versions := make([]zones.Edit, 0, min(len(d.Keys), mostReplaced)), map[zones.Key]int64{}
	missing := 0
	follow := map[zones.Kind]int{} // resources that take values from a changed Defaults; they are written as before
	for _, key := range d.Keys {
		before, known := was[key]
		if !known {
			_, of := was[zones.KeyOf(zones.KindDefaults, string(key.Kind()))]
			switch {
			case lacks:
				missing++
			case of && l.catalog.Get(key) != nil:
				follow[key.Kind()]++
			}
			continue // it is as before, or only its standing has changed
		}
		r := l.catalog.Get(key)
		if before.Resource == nil && r == nil {
			continue
		}
		edits = append(edits, zones.Edit{Key: key, Old: before.Resource, New: r})
		if versions[key] = l.catalog.VersionOf(key); r == nil {
			versions[key] = b.revision
		}
	}
	regions := map[string]string{}
	for _, e := range edits {
		if pool, of := poolOf(e); of {
			if p, is := l.catalog.Get(zones.KeyOf(zones.KindPool, pool)).(*zones.Pool); is {
				regions[pool] = p.Region
			}
		}
	}
	for part := range slices.Chunk(edits, history.MostChanges) {
		e := history.Event{Kind: kindOf(part), Revision: b.revision, Holds: len(part) * editHolds}
		tell(e, func(e *history.Event) {
			describe(e, part, was, versions, regions)
			for _, edit := range part {
				if n := follow[zones.Kind(edit.Key.Name())]; n > 0 && edit.Key.Kind() == zones.KindDefaults {
					e.Text += fmt.Sprintf("; with %s %d of that kind change", edit.Key, n)
				}
			}
		})
	}
	if missing > 0 {
		tell(history.Event{Kind: history.Lost, Revision: b.revision, Missed: &history.Missed{
			Events: uint64(missing), From: l.o.Now(), Until: l.o.Now(), Changes: true,
		}, Text: fmt.Sprintf("%d more resources changed at once, too many to keep how they were", missing)}, nil)
	}
	return all
}

// editHolds is how many octets an edit takes, roughly: the resource that was replaced, and the new one.
const editHolds = 4 << 10

// batchHead is what remains of a batch that was consumed.
type batchHead struct {
	revision   int64
	newest     int64 // revision of its changes
	copy, anew bool
}

// kindOf returns the kind of an event that has these edits.
func kindOf(edits []zones.Edit) history.Kind {
	kind := history.Changed
	for i, e := range edits {
		this := history.Changed
		if e.Key.Kind() == zones.KindOverride {
			this = history.Override
			for _, r := range []zones.Resource{e.Old, e.New} {
				if o, is := r.(*zones.Override); is && o.Drill {
					this = history.Drill
				}
			}
		}
		if i == 0 {
			kind = this
		} else if kind != this {
			return history.Changed
		}
	}
	return kind
}

// poolOf returns the pool that an edit is about.
func poolOf(e zones.Edit) (pool string, of bool) {
	switch name := e.Key.Name(); e.Key.Kind() {
	case zones.KindPool:
		return name, true
	case zones.KindEndpoint:
		pool, _, _ = strings.Cut(name, "/")
		return pool, true
	}
	return "", false
}

// describe puts edits into words.
func describe(
	e *history.Event, edits []zones.Edit, was map[zones.Key]catalog.Replaced, versions map[zones.Key]int64,
	regions map[string]string,
) {
	of := map[string]bool{}
	about := func(targets ...string) {
		for _, t := range targets {
			if t != "" && !of[t] {
				of[t] = true
				e.Of = append(e.Of, t)
			}
		}
	}
	counts := map[string]int{}
	for _, edit := range edits {
		c := history.Change{
			Resource: string(edit.Key), What: "changed",
			Revision: versions[edit.Key], From: was[edit.Key].Revision,
		}
		switch {
		case edit.Old == nil:
			c.What = "added"
		case edit.New == nil:
			c.What = "deleted"
		}
		counts[c.What]++
		for _, f := range document.Fields(edit) {
			c.Fields = append(c.Fields, history.Field{Path: f.Path, Was: f.Was, Is: f.Is})
		}
		old, new := edit.Hide()
		c.Was, c.Is = encoded(old), encoded(new)
		e.Changes = append(e.Changes, c)
		about(targetsOf(edit, regions)...)
	}
	if len(edits) == 1 {
		e.Text = sentence(edits[0])
		return
	}
	var parts []string
	for _, what := range []string{"added", "changed", "deleted"} {
		if counts[what] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[what], what))
		}
	}
	e.Text = fmt.Sprintf("%d resources: %s (%s", len(edits), strings.Join(parts, ", "), edits[0].Key)
	switch n := len(edits); n {
	case 2:
		e.Text += fmt.Sprintf(" and %s)", edits[1].Key)
	default:
		e.Text += fmt.Sprintf(", %s and %d more)", edits[1].Key, n-2)
	}
}

// targetsOf returns the targets that an edit is about.
func targetsOf(edit zones.Edit, regions map[string]string) []string {
	kind, name := edit.Key.Kind(), edit.Key.Name()
	of := []string{strings.ToLower(string(kind)) + "/" + name}
	if kind == zones.KindOverride {
		of = append(of, name)
	}
	if kind == zones.KindRecord {
		origin, rest, _ := strings.Cut(name, "/")
		owner, _, _ := strings.Cut(rest, "/")
		if owner != "@" {
			of = append(of, "name/"+owner+"."+origin)
		}
		return append(of, "zone/"+origin)
	}
	if pool, is := poolOf(edit); is {
		of = append(of, "pool/"+pool)
		if region := regions[pool]; region != "" {
			of = append(of, "region/"+region)
		}
	}
	return slices.Compact(of)
}

// sentence puts one edit into words.
func sentence(e zones.Edit) string {
	if o, is := e.New.(*zones.Override); is {
		text := map[zones.Word]string{zones.Drain: "drained", zones.Up: "set up", zones.Down: "set down"}[o.State]
		if o.Drill {
			text = "drained for a drill"
		}
		text = o.Target + " is " + text
		if o.From != nil {
			text += " from " + o.From.UTC().Format(time.RFC3339)
		}
		if o.Until != nil {
			text += " until " + o.Until.UTC().Format(time.RFC3339)
		}
		if o.Reason != "" {
			text += ": " + o.Reason
		}
		return text
	}
	switch {
	case e.New == nil && e.Key.Kind() == zones.KindOverride:
		return "the override of " + e.Key.Name() + " is taken away"
	case e.Old == nil:
		return e.Key.String() + " is added"
	case e.New == nil:
		return e.Key.String() + " is deleted"
	}
	var parts []string
	for _, f := range document.Fields(e) {
		switch {
		case f.Was == "":
			parts = append(parts, f.Path+": "+f.Is)
		case f.Is == "":
			parts = append(parts, f.Path+" is taken away")
		default:
			parts = append(parts, f.Path+": "+f.Was+" → "+f.Is)
		}
	}
	if n := len(parts); n > 3 {
		parts = append(parts[:3], fmt.Sprintf("and %d more fields", n-3))
	}
	return e.Key.String() + " is changed: " + strings.Join(parts, ", ")
}

func encoded(r zones.Resource) json.RawMessage {
	if r == nil {
		return nil
	}
	b, err := zones.Encode(r)
	if err != nil {
		return nil
	}
	return b
}
