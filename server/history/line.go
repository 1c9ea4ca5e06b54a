package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// How a line of a history is written and read (see book). If its beginning is enough, the rest is not decoded.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// lineOf returns the line of an event's JSON.
func lineOf(text []byte) []byte {
	line := make([]byte, 0, len(text)+10)
	line = append(fmt.Appendf(line, "%08x ", crc32.Checksum(text, castagnoli)), text...)
	return append(line, '\n')
}

// readLine reads one event.
func readLine(line []byte, e *Event) error {
	text, err := checked(line)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, e)
}

// checked returns the JSON of a line whose checksum is right.
func checked(line []byte) ([]byte, error) {
	sum, text, ok := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || err != nil || crc32.Checksum(text, castagnoli) != uint32(want) {
		return nil, errors.New("the line is not as it was written")
	}
	return text, nil
}

// head is the beginning of an event's JSON.
type head struct {
	number uint64
	time   time.Time
	kind   Kind
	begins bool
}

// readHead reads the beginning of a line, and not the rest, which may be long. It also returns the JSON.
func readHead(line []byte) (h head, text []byte, err error) {
	if text, err = checked(line); err != nil {
		return head{}, nil, err
	}
	if h, ok := headOf(text); ok {
		return h, text, nil
	}
	var e Event // written by another program
	err = json.Unmarshal(text, &e)
	return head{e.Number, e.Time, e.Kind, e.Begins}, text, err
}

// headOf reads the fields that put writes first. ok is false if the JSON begins otherwise.
func headOf(text []byte) (h head, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(`{"number":`))
	if !ok {
		return head{}, false
	}
	number, rest, ok := bytes.Cut(rest[:min(len(rest), 150)], []byte(`,"time":"`))
	if !ok {
		return head{}, false
	}
	stamp, rest, ok := bytes.Cut(rest, []byte(`","kind":"`))
	if !ok {
		return head{}, false
	}
	kind, rest, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || bytes.IndexByte(kind, '\\') >= 0 {
		return head{}, false
	}
	var errs [2]error
	h.number, errs[0] = strconv.ParseUint(string(number), 10, 64)
	h.time, errs[1] = time.Parse(time.RFC3339, string(stamp))
	h.kind, h.begins = Kind(kind), bytes.HasPrefix(rest, []byte(`,"begins":true`))
	return h, errs[0] == nil && errs[1] == nil
}
