package zones

import (
	"bytes"
	"encoding/json"
)

// Encode writes what document.Decode reads: the resource without kind and name, on one line, with its fields in a fixed
// order. It does not escape <, > and &, because people read the values, not browsers. It leaves out what was inherited.
func Encode(r Resource) ([]byte, error) {
	if d, is := r.(*Defaults); is {
		return appendGiven([]byte("{}"), d.Values, true)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(Written(r)); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if own := inheritance(r); own != nil && own.Zeroed != 0 {
		return appendGiven(text, r, false)
	}
	return text, nil
}
