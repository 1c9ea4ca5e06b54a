//go:build linux

package scenario

// spaceWords are about the space that etcd has.
func spaceWords() []word {
	alarm := func(is bool) func(*scenario, []string) error {
		return func(x *scenario, _ []string) error { return x.w.Leader(x.t).NoSpace(is) }
	}
	return []word{
		{
			pattern: "etcd is out of space",
			means: "its database has reached its quota (the alarm NOSPACE): nothing can be written, " +
				"and everything can be read",
			do: alarm(true),
		},
		{pattern: "etcd has space", means: "again (the alarm is taken back)", do: alarm(false)},
	}
}
