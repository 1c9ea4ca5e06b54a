package steer

import "time"

// started is when the process started, as far as this package knows.
var started = time.Now()

// Moment returns a time as Request.Now needs it, in seconds: the Unix time of the process's start, plus the time since
// then by the monotonic clock (by the wall clock if t has no monotonic reading). So setting the wall clock neither ends
// nor prolongs a TTL.
func Moment(t time.Time) int64 {
	since := t.Sub(started) + time.Duration(started.Nanosecond())
	seconds := started.Unix() + int64(since/time.Second)
	if since%time.Second < 0 {
		seconds--
	}
	return seconds
}
