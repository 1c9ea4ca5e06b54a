package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// The number of rows in each list of /api/v1/counts: if the request does not say, and at most.
const (
	usualRows = 100
	mostRows  = 10_000
)

// counts answers with what has been counted; if the request names a policy or a pool, with the counts of that one.
func (h *handler) counts(w http.ResponseWriter, r *http.Request) {
	v, most, err := rowsOf(r, "of", "most")
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	c := h.Counts(v.Get("of"), most)
	if of := v.Get("of"); of != "" && len(c.Policies)+len(c.Pools) == 0 {
		fail(w, http.StatusBadRequest, fmt.Errorf("no policy and no pool %q has been counted here; /api/v1/counts "+
			"lists those that have", of))
		return
	}
	h.write(w, c)
}

// rowsOf reads the parameters of a request, and how many rows it asks for. names are all parameters that it may have.
func rowsOf(r *http.Request, names ...string) (v url.Values, most int, err error) {
	if v, err = parameters(r, names...); err != nil || v.Get("most") == "" {
		return v, usualRows, err
	}
	most, err = strconv.Atoi(v.Get("most"))
	if err != nil || most < 1 || most > mostRows {
		return v, 0, fmt.Errorf("most=%q: write how many rows, 1 to %d", v.Get("most"), mostRows)
	}
	return v, most, nil
}

// top answers with who asks most, and which names are asked for most.
func (h *handler) top(w http.ResponseWriter, r *http.Request) {
	_, most, err := rowsOf(r, "most")
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	top := h.Top(most)
	if top == nil {
		fail(w, http.StatusNotFound, errors.New("this server does not count who asks and for what; "+
			"start it with --count-top"))
		return
	}
	h.write(w, top)
}
