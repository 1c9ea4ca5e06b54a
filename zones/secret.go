package zones

import (
	"fmt"
	"slices"
	"strings"

	"leeward/health"
)

// Hidden stands for a value that may be a secret: that of a header that probes send, or the part after the question
// mark in the path that they ask for. If two versions are compared and their values differ, the later one is
// HiddenOther.
const (
	Hidden      = "(hidden)"
	HiddenOther = "(hidden-other)"
)

// Hide returns both versions without secrets; each may be nil. A resource without secrets is returned as it is.
func (e Edit) Hide() (old, new Resource) {
	known := map[string]string{}
	return hide(e.Old, known), hide(e.New, known)
}

// HasHidden reports whether a secret of the resource was hidden.
func HasHidden(r Resource) bool {
	found := false
	secrets(r, func(_, value string) string {
		found = found || strings.Contains(value, Hidden) || strings.Contains(value, HiddenOther)
		return value
	})
	return found
}

// hide hides the secrets of a resource. known has the values that were hidden before; hide adds those of this resource.
func hide(r Resource, known map[string]string) Resource {
	first := len(known) == 0
	return secrets(r, func(where, value string) string {
		before, is := known[where]
		known[where] = value
		if first || is && before == value {
			return Hidden
		}
		return HiddenOther
	})
}

// secrets returns a resource with other values in place of those that may be secrets.
func secrets(r Resource, value func(where, value string) string) Resource {
	headers := func(at string, from health.Headers) health.Headers {
		if len(from) == 0 {
			return from
		}
		to := make(health.Headers, len(from))
		for name, v := range from {
			to[name] = value(at+name, v)
		}
		return to
	}
	web := func(at string, from *health.HTTP) *health.HTTP {
		if from == nil {
			return nil
		}
		to := *from
		to.Headers = headers(at+".headers.", from.Headers)
		if path, query, has := strings.Cut(from.Path, "?"); has {
			to.Path = path + "?" + value(at+".path", query)
		}
		return &to
	}
	switch r := r.(type) {
	case *Endpoint:
		if len(r.Headers) > 0 {
			out := *r
			out.Headers = headers("headers.", r.Headers)
			return &out
		}
	case *Monitor:
		out := *r
		out.HTTP, out.HTTPS = web("http", r.HTTP), web("https", r.HTTPS)
		return &out
	}
	return r
}

// Reveal returns an earlier version, whose secrets are hidden, with the secrets of the version in service now. then is
// the version that followed the earlier one, hidden in the same way. A secret that differed between the two is not
// known any more, and the error names it.
func Reveal(earlier, then, now Resource) (Resource, error) {
	known, same := map[string]string{}, map[string]bool{}
	if now != nil {
		secrets(now, func(where, value string) string { known[where] = value; return value })
	}
	if then != nil {
		secrets(then, func(where, value string) string { same[where] = value == Hidden; return value })
	}
	var lost []string
	out := secrets(earlier, func(where, value string) string {
		if value != Hidden && value != HiddenOther {
			return value
		}
		if v, is := known[where]; is && same[where] {
			return v
		}
		lost = append(lost, where)
		return value
	})
	if len(lost) > 0 {
		slices.Sort(lost)
		return nil, fmt.Errorf("%s: what %s was is not in the history, which keeps no secrets; apply it from your "+
			"files", earlier.Key(), strings.Join(lost, ", "))
	}
	return out, nil
}
