package answer

import (
	"net/netip"
	"time"

	"leeward/zones/rr"
	"leeward/zones/steer"
)

// BadQuestion says what is wrong with the parameters of an explanation, and what to write instead.
type BadQuestion struct{ Message string }

func (b *BadQuestion) Error() string { return b.Message }

// Explanation says why a client gets an answer: the sentences in order, the policy's own account if a policy steers the
// name, and the answer as records in presentation form. In JSON, the policy's fields stand beside the others.
type Explanation struct {
	Name     string     `json:"name"`
	Type     string     `json:"type"`
	Client   netip.Addr `json:"client"`
	Server   string     `json:"server,omitempty"` // the server that was asked; empty if no server was
	Revision int64      `json:"revision"`
	Zone     string     `json:"zone,omitempty"`
	// Outcome is "steered", "positive", "alias", "referral", "nodata", "nxdomain", "refused", "servfail", "unresolved",
	// "dname", "yxdomain", "unreadable" or "unusable"; for zones that live elsewhere also "not ready" or "expired".
	Outcome string `json:"outcome"`
	Rcode   string `json:"rcode,omitempty"` // of the response, such as "NXDOMAIN"
	Policy  string `json:"policy,omitempty"`

	*steer.Explanation // nil if no policy steers the name

	Answer    []string `json:"answer"`    // what this question would get now; weighted picks are drawn anew each time
	Authority []string `json:"authority"` // of a referral or a negative answer
	TTL       uint32   `json:"ttl"`       // seconds, of the answer
	Scope     int      `json:"scope"`     // the ECS scope prefix length; 0 if the client does not matter
	Text      []string `json:"text"`      // the steps as sentences

	Names []rr.Name `json:"-"` // names that were looked up: the question's, and those that it leads to

	At    *time.Time `json:"at,omitempty"`    // the time in the past that was asked about; nil: now
	Notes []string   `json:"notes,omitempty"` // what is not known of that time

	// Inherited lists what the policy, the pools and their monitors take from Defaults instead of their own documents.
	Inherited []string `json:"inherited,omitempty"`

	Problems []string `json:"problems,omitempty"` // wrong with the resources behind the answer, or held back of them
}
