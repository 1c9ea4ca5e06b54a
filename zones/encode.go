package zones

import (
	"encoding/json"
	"strings"
)

// Encode writes what document.Decode reads: the resource without kind and name, on one line, fields in a fixed order.
// It
// leaves <, > and & as they are: values are read by people, not by browsers.
func Encode(r Resource) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
