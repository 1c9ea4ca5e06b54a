package admin

import (
	"fmt"
	"io"
	"net/netip"
)

// BadQuestion is what is wrong with the parameters of an explanation, and what to write instead.
type BadQuestion struct{ Message string }

func (b *BadQuestion) Error() string { return b.Message }

// Explanation is why a client gets an answer: the steps in order, then the answer itself as records in presentation form.
type Explanation struct {
	Name      string     `json:"name"`
	Type      string     `json:"type"`
	Client    netip.Addr `json:"client"`
	Server    string     `json:"server,omitempty"` // that answered; empty when it was computed aside
	Revision  int64      `json:"revision"`
	Location  Location   `json:"location"`
	Outcome   string     `json:"outcome"`          // "steered", "positive", "alias", "referral", "nodata", "nxdomain" or "refused"
	Policy    string     `json:"policy,omitempty"` // the policy that steered
	Pool      string     `json:"pool,omitempty"`   // the pool that answers
	FailOpen  bool       `json:"failOpen"`         // nothing was healthy: answered as if all were
	Steps     []Reason   `json:"steps"`
	Answer    []string   `json:"answer"`    // the answer section; for pick weighted and sticky, what this question would get now
	Authority []string   `json:"authority"` // of a referral or a negative answer
	TTL       uint32     `json:"ttl"`
	Scope     int        `json:"scope"` // the ECS scope prefix length: 0 where the client does not matter
}

// Location is where the geo databases say the client is. Empty fields are not known.
type Location struct {
	Continent   string   `json:"continent,omitempty"`
	Country     string   `json:"country,omitempty"`
	Subdivision string   `json:"subdivision,omitempty"`
	Latitude    *float64 `json:"latitude,omitempty"`
	Longitude   *float64 `json:"longitude,omitempty"`
	ASN         uint32   `json:"asn,omitempty"`
}

// Reason is one step of the way to the answer: a code for programs and a sentence for people.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Print writes the explanation for people.
func (e *Explanation) Print(w io.Writer, colour bool) error {
	fmt.Fprintf(w, "%s %s asked by %s\n", Paint(Printable(e.Name), Bold, colour), e.Type, e.Client)
	for i, s := range e.Steps {
		fmt.Fprintf(w, "%3d. %s\n", i+1, Printable(s.Text))
	}
	fmt.Fprintln(w)
	for _, section := range []struct {
		title   string
		records []string
	}{{"answer", e.Answer}, {"authority", e.Authority}} {
		for _, r := range section.records {
			fmt.Fprintf(w, "%-10s %s\n", section.title, Paint(Printable(r), Green, colour))
		}
	}
	if len(e.Answer)+len(e.Authority) == 0 {
		fmt.Fprintf(w, "%-10s %s\n", "answer", Paint("none: "+e.Outcome, Yellow, colour))
	}
	_, err := fmt.Fprintf(w, "%-10s /%d of %s; revision %d\n", "ECS scope", e.Scope, e.Client, e.Revision)
	return err
}
