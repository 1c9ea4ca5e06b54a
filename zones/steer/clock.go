package steer

import "time"

// started is when the process did, as far as this package can tell.
var started = time.Now()

// Moment returns a time as Request.Now has it: Unix seconds as they were at the process's start, counted on from there
// by the monotonic clock where the time has one. So a wall clock that is set neither ends nor prolongs a TTL.
func Moment(t time.Time) int64 {
	since := t.Sub(started) + time.Duration(started.Nanosecond())
	seconds := started.Unix() + int64(since/time.Second)
	if since%time.Second < 0 {
		seconds--
	}
	return seconds
}
