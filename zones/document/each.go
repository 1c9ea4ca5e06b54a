package document

import (
	"errors"
	"fmt"
	"strings"

	"leeward/zones"
)

// A document with each stands for one document for each of its items, in which $each is that item wherever it stands
// in a text:
//
//	kind: Policy                       kind: Policy                kind: Policy
//	each: [shop, cart]          ──▶    name: shop.example.test     name: cart.example.test
//	name: $each.example.test           rules:                      rules:
//	rules:                               - nearest: [shop-eu]        - nearest: [cart-eu]
//	  - nearest: [$each-eu]
//
// A List with each does so for all of its items. This happens as documents are read, so all behind it, and etcd, know
// whole resources only: each has its own key, its own problems and its own removal for the guard to doubt. Rejected: a
// resource with several names. Each place that has a name now would have to know of it, and a change to one of the
// names would be a change to all.

const (
	eachField = "each"
	eachText  = "$each"
	mostEach  = 1000 // items
)

// errTooMuch ends the reading of a file whose documents with each become too large.
var errTooMuch = errors.New("the documents with each stand for more than 256 MiB; split the file")

// addEach adds a document, or a List, once for each item.
func (s *documentSet) addEach(n *node, line int, items *node) {
	words, ok := s.eachItems(line, items)
	if !ok || !s.eachNamed(n) {
		return
	}
	template := node{shape: shapeObject, line: n.line}
	for i := range n.fields {
		if f := &n.fields[i]; f.name != eachField {
			template.fields = append(template.fields, *f)
		} else if &f.value != items {
			s.fail(f.line, eachField, "it is there already at line %d; take one out", line)
			return
		}
	}
	before, mark := len(s.problems), s.held.mark()
	for _, word := range words {
		if one := s.substitute(&template, word); s.full == nil {
			s.add(&one)
		}
		s.held.release(mark)
	}
	s.problems = append(s.problems[:before], distinct(s.problems[before:])...)
}

// eachItems checks the list of items and returns them.
func (s *documentSet) eachItems(line int, items *node) (words []string, ok bool) {
	if items.shape != shapeList || len(items.items) == 0 || len(items.items) > mostEach {
		s.fail(line, eachField, "it is a list of 1 to %d texts, such as [shop, cart]", mostEach)
		return nil, false
	}
	seen := make(map[string]bool, len(items.items))
	for i, v := range items.items {
		at := zones.Item(eachField, i)
		switch {
		case v.shape == shapeNumber || v.shape == shapeBool:
			s.fail(v.line, at, "text should be here, not %s; write it in quotes: %q", v.shape, v.text)
		case v.shape != shapeText:
			s.fail(v.line, at, "text should be here, not %s", v.shape)
		case v.text == "" || strings.Contains(v.text, "$"):
			s.fail(v.line, at, "%q cannot be put in the place of %s; write a text without $", v.text, eachText)
		case seen[v.text]:
			s.fail(v.line, at, "%s is there twice; take one out", v.text)
		default:
			seen[v.text] = true
			words = append(words, v.text)
		}
	}
	return words, len(words) == len(items.items)
}

// eachNamed checks that the documents get names of their own, and that there is no each within.
func (s *documentSet) eachNamed(n *node) bool {
	if items := n.get("items"); items != nil && items.shape == shapeList {
		for i := range items.items {
			inner := &items.items[i]
			if within := inner.get(eachField); within != nil {
				s.fail(within.line, eachField, "the List around it has each already; leave one of the two out")
				return false
			}
			if !s.eachNamed(inner) {
				return false
			}
		}
		return true
	}
	if name := n.get("name"); name != nil && !strings.Contains(name.text, eachText) {
		s.fail(name.line, "name", "%q would be the name of all of them; put %s into it, such as %[2]s-eu", name.text,
			eachText)
		return false
	}
	return true
}

// substitute returns a copy of the node with the word in place of $each.
func (s *documentSet) substitute(n *node, word string) node {
	text := strings.ReplaceAll(n.text, eachText, word)
	if s.made += 64 + len(text); s.made > maxFile {
		s.full = errTooMuch
		return node{}
	}
	if err := s.held.add(nodeCost + len(text)); err != nil {
		s.full = err
		return node{}
	}
	c := node{shape: n.shape, line: n.line, text: text}
	for i := range n.items {
		c.items = append(c.items, s.substitute(&n.items[i], word))
	}
	for i := range n.fields {
		f := &n.fields[i]
		c.fields = append(c.fields, field{
			strings.ReplaceAll(f.name, eachText, word), f.line,
			s.substitute(&f.value, word),
		})
	}
	return c
}

// distinct returns the problems without those that repeat an earlier one of the same line.
func distinct(ps zones.Problems) (kept zones.Problems) {
	seen := make(map[string]bool, len(ps))
	for _, p := range ps {
		if said := fmt.Sprint(p.Position, p.Key, p.Field, p.Message); !seen[said] {
			seen[said] = true
			kept = append(kept, p)
		}
	}
	return kept
}
