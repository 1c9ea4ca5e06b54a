package admin

import (
	"fmt"
	"io"
	"net/netip"

	"leeward/zones/steer"
)

// BadQuestion is what is wrong with the parameters of an explanation, and what to write instead.
type BadQuestion struct{ Message string }

func (b *BadQuestion) Error() string { return b.Message }

// Explanation is why a client gets an answer: the sentences in order, the policy's own account of it where one steers,
// and the answer as records in presentation form. In JSON the policy's fields stand beside the others.
type Explanation struct {
	Name     string     `json:"name"`
	Type     string     `json:"type"`
	Client   netip.Addr `json:"client"`
	Server   string     `json:"server,omitempty"` // that was asked; empty when it was computed aside
	Revision int64      `json:"revision"`
	Zone     string     `json:"zone,omitempty"`
	Outcome  string     `json:"outcome"`         // "steered", "positive", "alias", "referral", "nodata", "nxdomain", "refused", "unresolved", "dname", "yxdomain", "unusable", or, of zones that live elsewhere, "not ready" or "expired", or "unusable"
	Rcode    string     `json:"rcode,omitempty"` // of the response, such as "NXDOMAIN"
	Policy   string     `json:"policy,omitempty"`

	*steer.Explanation // nil where no policy steers

	Answer    []string `json:"answer"`    // what this question would get now; pick weighted draws anew for each query
	Authority []string `json:"authority"` // of a referral or a negative answer
	TTL       uint32   `json:"ttl"`       // seconds, of the answer
	Scope     int      `json:"scope"`     // the ECS scope prefix length: 0 where the client does not matter
	Text      []string `json:"text"`      // the steps as sentences

	Problems []string `json:"problems,omitempty"` // what is wrong with, or held back of, what the answer comes from
}

// Print writes the explanation for people.
func (e *Explanation) Print(w io.Writer, colour bool) error {
	for _, s := range e.Text {
		fmt.Fprintln(w, Printable(s))
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
	for _, p := range e.Problems {
		fmt.Fprintf(w, "%-10s %s\n", "problem", Paint(Printable(p), Yellow, colour))
	}
	_, err := fmt.Fprintf(w, "%-10s /%d of %s\n%-10s %d\n", "ECS scope", e.Scope, e.Client, "revision", e.Revision)
	return err
}
