package zones

import "testing"

func TestHostmasters(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "hostmaster.example.test",
		"hostmaster@example.test":  "hostmaster.example.test",
		"john.doe@example.test":    `john\.doe.example.test`,
		`john\.doe.example.test`:   `john\.doe.example.test`,
		"hostmaster.example.test.": "hostmaster.example.test",
	} {
		z := &Zone{Origin: "example.test", Hostmaster: in}
		if got := z.RName(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
