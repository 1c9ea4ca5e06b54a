package dnstap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Frame Streams (https://farsightsec.github.io/fstrm/): a stream of frames, each with its length in 4 octets and its
// data. Length 0 is an escape: a control frame follows, with its own length.
const (
	controlAccept = 1
	controlStart  = 2
	controlStop   = 3
	controlReady  = 4
	controlFinish = 5

	fieldContentType = 1
	mostControl      = 512 // octets of a control frame, by the specification
)

const contentType = "protobuf:dnstap.Dnstap"

// control makes a control frame. typed says that it has the content type.
func control(kind uint32, typed bool) []byte {
	b := make([]byte, 12, 12+8+len(contentType))
	binary.BigEndian.PutUint32(b[8:], kind)
	if typed {
		b = binary.BigEndian.AppendUint32(b, fieldContentType)
		b = binary.BigEndian.AppendUint32(b, uint32(len(contentType)))
		b = append(b, contentType...)
	}
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// greet opens a stream to a follower: READY, its ACCEPT, START. It fails if the follower does not accept dnstap.
func greet(c io.ReadWriter) error {
	if _, err := c.Write(control(controlReady, true)); err != nil {
		return err
	}
	types, err := await(c, controlAccept)
	if err != nil {
		return err
	}
	if len(types) > 0 && !slices.Contains(types, contentType) {
		return fmt.Errorf("it takes %q, and not %q: is it a reader of dnstap?", types, contentType)
	}
	_, err = c.Write(control(controlStart, true))
	return err
}

// await reads control frames until one of the given kind comes, and returns its content types.
func await(r io.Reader, kind uint32) (types []string, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[4:])
	if binary.BigEndian.Uint32(head[:]) != 0 || length < 4 || length > mostControl {
		return nil, errors.New("it does not speak Frame Streams: is it a reader of dnstap?")
	}
	if got := binary.BigEndian.Uint32(head[8:]); got != kind {
		return nil, fmt.Errorf("it sends control frame %d where %d is due: is it a reader of dnstap?", got, kind)
	}
	fields := make([]byte, length-4)
	if _, err := io.ReadFull(r, fields); err != nil {
		return nil, err
	}
	for len(fields) >= 8 {
		field, size := binary.BigEndian.Uint32(fields), binary.BigEndian.Uint32(fields[4:])
		if fields = fields[8:]; uint64(size) > uint64(len(fields)) {
			return nil, errors.New("it sends a control frame that is not whole")
		}
		if field == fieldContentType {
			types = append(types, string(fields[:size]))
		}
		fields = fields[size:]
	}
	return types, nil
}
