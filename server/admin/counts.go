package admin

import (
	"fmt"
	"net/http"
	"strconv"
)

// The rows of each list of /api/v1/counts: how many if nobody says, and at most.
const (
	usualRows = 100
	mostRows  = 10_000
)

// counts answers with what has been counted, of one policy or pool if asked to.
func (h *handler) counts(w http.ResponseWriter, r *http.Request) {
	v, err := parameters(r, "of", "most")
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	most := usualRows
	if text := v.Get("most"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > mostRows {
			fail(w, http.StatusBadRequest, fmt.Errorf("most=%q: write how many rows, 1 to %d", text, mostRows))
			return
		}
	}
	c := h.Counts(v.Get("of"), most)
	if of := v.Get("of"); of != "" && len(c.Policies)+len(c.Pools) == 0 {
		fail(w, http.StatusBadRequest, fmt.Errorf("no policy and no pool %q has been counted here; /api/v1/counts "+
			"lists those that have", of))
		return
	}
	h.write(w, c)
}
