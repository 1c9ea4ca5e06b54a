package demo

// Lost returns, for each crowd, the share of its requests that was lost, and how many endpoints broke. The crowd whose
// pools spill comes first.
func (f *Film) Lost() (lost []float64, broken []int) {
	for i := range f.crowds {
		t := f.last(i).totals
		lost, broken = append(lost, t.lost/max(t.requests, 1)), append(broken, t.broken)
	}
	return lost, broken
}
