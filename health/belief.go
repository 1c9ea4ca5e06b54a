package health

// Belief is how far the Board believes a vantage that sends heartbeats.
type Belief int

// The beliefs.
const (
	Absent      Belief = iota // it has not been heard of, or has taken back its reports
	Sighted                   // its votes count
	Blind                     // it is blind, and abstains
	BlindToIPv4               // it is blind to this family alone, and abstains there
	BlindToIPv6
	Silent // it has not been heard for so long that its votes are not fresh
)

// IsBlind reports whether the vantage abstains, at least in one family.
func (s Belief) IsBlind() bool { return s == Blind || s == BlindToIPv4 || s == BlindToIPv6 }

// OnBelief has f called, from within Judge or Withdraw, when that changes for a vantage. f must not call the Board.
func (b *Board) OnBelief(f func(vantage string, from, to Belief)) { b.stood = f }

// stand reports each vantage whose belief has changed since the last Judge.
func (b *Board) stand() {
	if b.stood == nil {
		return
	}
	for _, v := range b.vantages {
		if to := v.believedNow(); to != v.belief {
			from := v.belief
			v.belief = to
			b.stood(v.name, from, to)
		}
	}
}

// believedNow returns how far the vantage is believed, as of the last Judge.
func (v *vantage) believedNow() Belief {
	switch {
	case !v.prober():
		return Absent
	case !v.fresh:
		return Silent
	case v.blind == [families]bool{}:
		return Sighted
	case !v.blind[ipv6] && v.sees[ipv6].shared > 0:
		return BlindToIPv4
	case !v.blind[ipv4] && v.sees[ipv4].shared > 0:
		return BlindToIPv6
	}
	return Blind
}
