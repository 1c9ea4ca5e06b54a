package zones

import "leeward/health"

func (f *faults) monitor(m *Monitor) { f.settings(m.Validate()) }

// settings adds faults that package health has found.
func (f *faults) settings(errs []health.FieldError) {
	for _, e := range errs {
		f.add(e.Field, "%s", e.Message)
	}
}
