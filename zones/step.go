package zones

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// AtLeast is the only field of a step that is not a pool: names of pools have no capitals.
const AtLeast = "atLeast"

// MarshalJSON writes a single pool of weight 1 as its name, and anything else as weights by name.
func (s Step) MarshalJSON() ([]byte, error) {
	if len(s.Pools) == 1 && s.Pools[0].Weight == 1 && s.AtLeast == 0 {
		return json.Marshal(s.Pools[0].Pool)
	}
	weights := make(map[string]any, len(s.Pools))
	for _, p := range s.Pools {
		weights[p.Pool] = p.Weight
	}
	if s.AtLeast != 0 {
		weights[AtLeast] = s.AtLeast
	}
	return json.Marshal(weights)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Step) UnmarshalJSON(b []byte) error {
	var name string
	if json.Unmarshal(b, &name) == nil {
		s.Pools = []WeightedPool{{Pool: name, Weight: 1}}
		return nil
	}
	var parts map[string]json.RawMessage
	weights := map[string]int{}
	err := json.Unmarshal(b, &parts)
	for name, part := range parts {
		if name == AtLeast {
			err = errors.Join(err, s.AtLeast.UnmarshalJSON(part))
			continue
		}
		var weight int
		err = errors.Join(err, json.Unmarshal(part, &weight))
		weights[name] = weight
	}
	if err != nil || len(weights) == 0 {
		return fmt.Errorf("a step is a pool's name, or pools with weights such as {\"www-us\": 95, "+
			"\"www-us-canary\": 5}, not %s", b)
	}
	s.SetWeights(weights)
	return nil
}

// SetWeights sets the pools of a step and their weights.
func (s *Step) SetWeights(weights map[string]int) {
	s.Pools = make([]WeightedPool, 0, len(weights))
	for pool, weight := range weights {
		s.Pools = append(s.Pools, WeightedPool{Pool: pool, Weight: weight})
	}
	slices.SortFunc(s.Pools, func(a, b WeightedPool) int { return strings.Compare(a.Pool, b.Pool) })
}
