package steer

// Reason is a compact code for why a pool may or may not answer.
type Reason uint8

// The reasons.
const (
	ReasonAvailable   Reason = iota
	ReasonDrained            // an override drains it or its region
	ReasonNoneHealthy        // no endpoint of the family has the verdict up
	ReasonTooFew             // fewer healthy endpoints than its minHealthy
	ReasonNoAddress          // no endpoint has an address of the family
	ReasonNoPool             // there is no such pool
)

var reasons = [...]string{
	ReasonAvailable:   "available",
	ReasonDrained:     "drained",
	ReasonNoneHealthy: "no healthy endpoint",
	ReasonTooFew:      "fewer healthy endpoints than minHealthy",
	ReasonNoAddress:   "no address of this family",
	ReasonNoPool:      "no such pool",
}

func (r Reason) String() string { return reasons[r] }
