package admin

import "testing"

// TestSignerAils: a signer needs attention if nobody hears of it, if it does not follow its source, or if it lags
// behind.
func TestSignerAils(t *testing.T) {
	well := Server{ID: "s", Signs: true, Fresh: true, Source: Source{State: "following"}, Written: &Written{Zones: 3}}
	for what, change := range map[string]func(*Server){
		"not heard of":    func(v *Server) { v.Fresh = false },
		"cut off":         func(v *Server) { v.Source.State = "cut off" },
		"behind":          func(v *Server) { v.Written = &Written{Zones: 3, Behind: []string{"a.test"}} },
		"short":           func(v *Server) { v.Written = &Written{Zones: 3, Short: []string{"a.test"}} },
		"it cannot write": func(v *Server) { v.Written = &Written{Error: "no quorum"} },
	} {
		v := well
		if s := (&Status{Signers: []Server{v}}); s.Wrong() {
			t.Error("it is well, and wrong")
		}
		change(&v)
		if s := (&Status{Signers: []Server{v}}); !s.Wrong() {
			t.Errorf("%s: nothing is wrong", what)
		}
	}
}
