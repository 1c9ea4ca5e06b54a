package screen

import (
	"cmp"
	"slices"
	"strings"

	"leeward/server/admin"
)

// Natural orders names as people do: svc2 before svc10.
func Natural(a, b string) int {
	whole := strings.Compare(a, b)
	for a != "" && b != "" {
		m, n := digits(a), digits(b)
		if m == 0 || n == 0 {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		x, y := strings.TrimLeft(a[:m], "0"), strings.TrimLeft(b[:n], "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
			return c
		}
		a, b = a[m:], b[n:]
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), whole) // what is the same but for leading zeros has an order too
}

// digits is how many a text begins with.
func digits(s string) (n int) {
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// inOrder returns the status with its lists in natural order.
func inOrder(s *admin.Status) *admin.Status {
	out := *s
	out.Servers = ordered(s.Servers, func(v *admin.Server) string { return v.ID })
	out.Vantages = ordered(s.Vantages, func(v *admin.Vantage) string { return v.ID })
	out.Regions = ordered(s.Regions, func(r *admin.Region) string { return r.Region })
	out.Pools = ordered(s.Pools, func(p *admin.Pool) string { return p.Pool })
	out.Endpoints = ordered(s.Endpoints, func(e *admin.Endpoint) string { return e.Endpoint })
	return &out
}

func ordered[T any](all []T, name func(*T) string) []T {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b T) int { return Natural(name(&a), name(&b)) })
	return all
}
