package zones

import (
	"fmt"
	"slices"
	"strings"

	"leeward/zones/rr"
)

// Position is where a document stands. The zero Position means that the resource comes from no file (it is in etcd).
type Position struct {
	File string
	Line int // from 1; 0: not known
}

// String returns the position as errors begin: "file.yaml:12".
func (p Position) String() string {
	switch {
	case p.File == "" && p.Line == 0:
		return ""
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Code tells apart the problems that callers act upon.
type Code string

// The codes.
const (
	CodeReference Code = "reference" // it names something that does not exist
	CodeConflict  Code = "conflict"  // it conflicts with a resource that came first
	CodeNoAnswer  Code = "no-answer" // the policy has no endpoint at all; apply and delete require --force
	CodeDetection Code = "detection" // caches keep answers longer than detecting a failure takes
	CodeSyntax    Code = "syntax"    // the document or value cannot be read
	CodeStray     Code = "stray"     // a key that no resource can have
)

// Problem is what is wrong with one field of one resource, and what to do about it.
type Problem struct {
	Position
	Key      Key    // "": the document does not say what it is
	Field    string // as a document's path, such as "rules[0].failover[1]"; "" for the whole resource
	Message  string // what is wrong and what to do
	Code     Code   // "" for most
	Warning  bool   // worth a look, but nothing is refused for it
	Revision int64  // of the version that has the problem; 0: not known

	Alike   string // what warnings of one kind have in common; "": it is the only one
	Missing Key    // what is named and missing: Catalog.Problems adds the names that exist then
}

// String returns the problem as it is printed: `file.yaml:12: Pool www-eu: region: no region "eu-wst"; known: eu-west`.
func (p Problem) String() string {
	var b strings.Builder
	for _, part := range []string{p.Position.String(), p.subject(), p.Field} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	return b.String()
}

func (p Problem) subject() string {
	if p.Key == "" {
		return ""
	}
	return p.Key.String()
}

// Error makes a Problem an error.
func (p Problem) Error() string { return p.String() }

// Problems is an error with one line for each problem.
type Problems []Problem

// Error returns the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// What a Problem quotes can be as large as the file that has it. Its message and its field are cut to so many octets.
const (
	longestMessage = 2000
	longestField   = 300
)

// Brief returns the problem with the middle of what is too long left out: the advice comes last.
func (p Problem) Brief() Problem {
	p.Message, p.Field = brief(p.Message, longestMessage), brief(p.Field, longestField)
	return p
}

func brief(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most/2], "") + " … " + strings.ToValidUTF8(text[len(text)-most/2:], "")
}

// mostFaults is how many faults of one resource are listed.
const mostFaults = 100

// Add adds a problem of one resource. Once mostFaults are listed, it only says that there are more.
func (ps *Problems) Add(p Problem) {
	switch n := len(*ps); {
	case n < mostFaults:
		*ps = append(*ps, p.Brief())
	case n == mostFaults:
		*ps = append(*ps, Problem{Message: "more is wrong with it than is listed", Code: CodeSyntax})
	}
}

// Err returns the problems as an error, or nil if there are only warnings.
func (ps Problems) Err() error {
	if refused := ps.Errors(); len(refused) > 0 {
		return refused
	}
	return nil
}

// Errors returns the problems that are not warnings.
func (ps Problems) Errors() Problems {
	return ps.Only(func(p Problem) bool { return !p.Warning })
}

// Warnings returns the problems that are warnings.
func (ps Problems) Warnings() Problems {
	return ps.Only(func(p Problem) bool { return p.Warning })
}

// MostAlike is how many warnings of one kind are listed.
const MostAlike = 10

// Summary returns all errors and at most ten warnings of each kind. In place of further warnings it has one that says
// how many there are.
func (ps Problems) Summary() Problems {
	count, last := map[string]int{}, map[string]int{}
	for i, p := range ps {
		if p.Warning && p.Alike != "" {
			count[p.Alike]++
			last[p.Alike] = i
		}
	}
	kept, seen := make(Problems, 0, len(ps)), map[string]int{}
	for i, p := range ps {
		if !p.Warning || p.Alike == "" || count[p.Alike] <= MostAlike+1 {
			kept = append(kept, p)
			continue
		}
		if seen[p.Alike]++; seen[p.Alike] <= MostAlike {
			kept = append(kept, p)
		}
		if i == last[p.Alike] {
			p.Message = fmt.Sprintf("and %d more like this one: %s", count[p.Alike]-MostAlike-1, p.Message)
			kept = append(kept, p)
		}
	}
	return kept
}

// Coded returns the problems with that code.
func (ps Problems) Coded(code Code) Problems {
	return ps.Only(func(p Problem) bool { return p.Code == code })
}

// Beyond returns the problems that are not in before, wherever they stand. These are what an edit would add to what is
// wrong already.
func (ps Problems) Beyond(before Problems) Problems {
	type gist struct {
		key            Key
		field, message string
	}
	known := make(map[gist]bool, len(before))
	for _, p := range before {
		known[gist{p.Key, p.Field, p.Message}] = true
	}
	return ps.Only(func(p Problem) bool { return !known[gist{p.Key, p.Field, p.Message}] })
}

// Only returns the problems to keep, in their order.
func (ps Problems) Only(keep func(Problem) bool) Problems {
	var kept Problems
	for _, p := range ps {
		if keep(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// Sort sorts the problems by file and line, then by key. Those of one line stay in the order found.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(string(a.Key), string(b.Key))
	})
}

// Known lists names for a message: "known: a, b, c". The nearest to what was written comes first.
func Known(written string, names []string) string {
	if len(names) == 0 {
		return "there are none yet"
	}
	names, written = slices.Clone(names), written[:min(len(written), rr.MaxName)]
	slices.Sort(names)
	slices.SortStableFunc(names, func(a, b string) int { return distance(written, a) - distance(written, b) })
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("known: %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "known: " + strings.Join(names, ", ")
}

// Nearest returns the name that written was probably meant to be, or "" if none is near.
func Nearest(written string, names []string) string {
	best, least := "", 3
	switch {
	case len(written) < 4:
		least = 2
	case len(written) > rr.MaxName: // too long for a typo
		return ""
	}
	for _, name := range names {
		if d := distance(strings.ToLower(written), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of single-letter edits between two words, where a swap of neighbours counts as one.
func distance(a, b string) int {
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(next[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
