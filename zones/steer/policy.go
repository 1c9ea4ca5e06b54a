package steer

// Policy is one compiled policy.
type Policy struct {
	Name string
	TTL  uint32
}

// Decide answers one request.
func (p *Policy) Decide(v *View, req *Request, d *Decision) {}
