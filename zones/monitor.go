package zones

import "leeward/health"

func (f *faults) monitor(m *Monitor) { f.settings(m.Validate()) }

// settings takes over what the health of endpoints cannot be found out with.
func (f *faults) settings(errs []health.FieldError) {
	for _, e := range errs {
		f.add(e.Field, "%s", e.Message)
	}
}
