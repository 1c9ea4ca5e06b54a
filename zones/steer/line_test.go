package steer

import (
	"testing"
	"unsafe"

	"leeward/zones"
)

// All that an answer reads of a policy is in one cache line, the one that a server fetches ahead: for the decision, for
// its count, and for the sample of who asks.
func TestFirstLine(t *testing.T) {
	const line = 64
	var p Policy
	for name, end := range map[string]uintptr{
		"leads":   unsafe.Offsetof(p.leads) + unsafe.Sizeof(p.leads),
		"sel":     unsafe.Offsetof(p.sel) + unsafe.Sizeof(p.sel),
		"table":   unsafe.Offsetof(p.table) + unsafe.Sizeof(p.table),
		"TTL":     unsafe.Offsetof(p.TTL) + unsafe.Sizeof(p.TTL),
		"level":   unsafe.Offsetof(p.level) + unsafe.Sizeof(p.level),
		"one":     unsafe.Offsetof(p.one) + unsafe.Sizeof(p.one),
		"Number":  unsafe.Offsetof(p.Number) + unsafe.Sizeof(p.Number),
		"planned": unsafe.Offsetof(p.planned) + unsafe.Sizeof(p.planned),
		"spill":   unsafe.Offsetof(p.spill) + unsafe.Sizeof(p.spill),
		"hash":    unsafe.Offsetof(p.hash) + unsafe.Sizeof(p.hash),
	} {
		if end > line {
			t.Errorf("%s ends at %d, beyond the first line", name, end)
		}
	}
	for range 100 {
		p, err := NewCompiler(nil).Policy(&zones.Policy{Name: "www.example", Rules: []zones.Rule{{}}}, World{})
		if err != nil {
			t.Fatal(err)
		}
		if at := uintptr(p.Line()); at%line != 0 {
			t.Fatalf("a policy of %d octets begins %d octets behind the start of a line", unsafe.Sizeof(*p), at%line)
		}
	}
}

// The short way to a decision's cell leads to the cell that the search finds.
func TestCell(t *testing.T) {
	for _, c := range []struct {
		leads []lead
		cells []int32
	}{
		{[]lead{{7, 3}, {-1, 4}}, []int32{2, 4, -1, 7, -1}},
		{[]lead{{7, 4}, {9, 7}, {7, 9}}, []int32{3, 6, 8, -1, 7, 9, -1, 9, -1, 7, 9}},
		{[]lead{{-1, 2}, {-1, 5}}, []int32{2, 5, -1, 7, 9, -1, 9}},
	} {
		p := &Policy{leads: c.leads, cells: c.cells}
		for rule := range c.leads {
			if rule == len(c.leads)-1 {
				rule = -1
			}
			for pool := int32(-1); pool < 12; pool++ {
				d := &Decision{Rule: int16(rule), Pool: pool}
				if got, want := p.Cell(d), p.search(d); got != want {
					t.Errorf("%v, rule %d, pool %d: cell %d, not %d", c, rule, pool, got, want)
				}
			}
		}
	}
}
