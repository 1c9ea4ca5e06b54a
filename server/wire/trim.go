package wire

import "encoding/binary"

// Trim shortens a response without records to at most size octets, but at least HeaderSize. It removes first the
// options in its OPT record, then the records after OPT, such as TSIG, then OPT, and at last the question. It works in
// place. A response that cannot be read loses everything except its header.
func Trim(msg []byte, size int) []byte {
	if len(msg) <= size || len(msg) < HeaderSize {
		return msg
	}
	p, ok := take(msg)
	if !ok {
		return bare(msg)
	}
	if p.opt > 0 {
		binary.BigEndian.PutUint16(msg[p.opt+optSize-2:], 0)
		msg = append(msg[:p.opt+optSize], msg[p.end:]...)
	}
	if len(msg) <= size {
		return msg
	}
	if msg = p.skeleton(msg); len(msg) > size {
		p.opt = 0
		msg = p.skeleton(msg)
	}
	if len(msg) > size {
		return bare(msg)
	}
	return msg
}

// TruncateMessage removes everything from a response except its question and an empty OPT record, in place. It sets TC
// and clears AA. A response that cannot be read loses everything except its header.
func TruncateMessage(msg []byte) []byte {
	if len(msg) < HeaderSize {
		return msg
	}
	msg[2] = msg[2]&^flagAA | flagTC
	p, ok := take(msg)
	if !ok {
		return bare(msg)
	}
	return p.skeleton(msg)
}

// places are where the parts of a message are.
type places struct {
	question int // where the question ends
	opt, end int // where the OPT record begins and ends; 0: there is none
}

func take(msg []byte) (p places, ok bool) {
	at := HeaderSize
	for range binary.BigEndian.Uint16(msg[4:]) {
		if at = SkipName(msg, at); at < 0 || at+4 > len(msg) {
			return p, false
		}
		at += 4
	}
	p.question = at
	records := 0
	for i := 6; i < HeaderSize; i += 2 {
		records += int(binary.BigEndian.Uint16(msg[i:]))
	}
	for range records {
		start := at
		if at = SkipName(msg, at); at < 0 || at+recordFixed > len(msg) {
			return p, false
		}
		kind := binary.BigEndian.Uint16(msg[at:])
		if at += recordFixed + int(binary.BigEndian.Uint16(msg[at+recordFixed-2:])); at > len(msg) {
			return p, false
		}
		if kind == TypeOPT && msg[start] == 0 {
			p.opt, p.end = start, at
		}
	}
	return p, true
}

// skeleton is the header, the question, and the OPT record if there is one, without options.
func (p *places) skeleton(msg []byte) []byte {
	clear(msg[6:HeaderSize])
	if p.opt == 0 {
		return msg[:p.question]
	}
	copy(msg[p.question:], msg[p.opt:p.opt+optSize])
	p.opt = p.question
	msg = msg[:p.question+optSize]
	msg[len(msg)-2], msg[len(msg)-1] = 0, 0
	msg[11] = 1
	return msg
}

// bare is a message's header alone.
func bare(msg []byte) []byte {
	clear(msg[4:HeaderSize])
	return msg[:HeaderSize]
}
