package admin

import (
	"encoding/json"
	"log/slog"
	"math"
	"net/http/httptest"
	"testing"
	"time"
)

// A value that JSON cannot hold gives an error that says so, not an empty page.
func TestUnwritable(t *testing.T) {
	h := &handler{Options: Options{Log: slog.New(slog.DiscardHandler)}}
	for what, v := range map[string]any{
		"a year":   time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"a number": math.Inf(1),
	} {
		w := httptest.NewRecorder()
		h.write(w, map[string]any{"value": v})
		var f Failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != 500 || f.Error == "" {
			t.Errorf("%s: %d %q", what, w.Code, w.Body)
		}
	}
}
