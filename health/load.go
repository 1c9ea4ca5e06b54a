package health

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Load is what an endpoint reports that it carries, in the unit of its pool's capacity. The zero value means unknown,
// which is not a load of 0.
type Load struct {
	Value float64 // 0 to MaxLoad
	Known bool
}

// MaxLoad is the largest load and the largest capacity. A larger number is taken for an error.
const MaxLoad = 1e12

// LoadOf returns the load of that value. It is unknown if the value is below 0, above MaxLoad, or not a number.
func LoadOf(value float64) Load {
	if !(value >= 0 && value <= MaxLoad) {
		return Load{}
	}
	return Load{value, true}
}

func (l Load) String() string {
	if !l.Known {
		return "unknown"
	}
	return strconv.FormatFloat(l.Value, 'g', 4, 64)
}

// IsZero reports whether the load is unknown, so that documents leave it out.
func (l Load) IsZero() bool { return !l.Known }

// MarshalJSON writes a number with four significant digits, or null.
func (l Load) MarshalJSON() ([]byte, error) {
	if !l.Known {
		return []byte("null"), nil
	}
	return []byte(l.String()), nil
}

// UnmarshalJSON reads a number from 0 to MaxLoad, or null.
func (l *Load) UnmarshalJSON(b []byte) error {
	*l = Load{}
	if string(b) == "null" {
		return nil
	}
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%s is not a load; write a number from 0 to %g, or leave it out where it is not known", b,
			MaxLoad)
	}
	if *l = LoadOf(f); !l.Known {
		return fmt.Errorf("%g is not a load; write a number from 0 to %g, or leave it out where it is not known", f,
			MaxLoad)
	}
	return nil
}

// Sample is a load that this process's own probe of a target has measured. If it is unknown, the target has reported a
// load before and no longer does.
type Sample struct {
	Target
	Load Load
}

// round keeps four significant digits, so that a number is the same after it was written to etcd and read again.
func round(f float64) float64 {
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return f
	}
	digits := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(f))))
	return math.Round(f*digits) / digits
}
