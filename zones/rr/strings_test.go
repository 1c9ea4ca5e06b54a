package rr

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Strings of any length and any octets, with or without quotes, are served as strings of 255 octets and a rest. Joined,
// they are the same text. Nothing else is changed.
func TestLongStringsAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]Type{TypeTXT, 99, 56, 258, 261}).Draw(t, "type")
		var text []string
		var want []byte
		long := false
		for range rapid.IntRange(1, 4).Draw(t, "strings") {
			size := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(253, 257), rapid.IntRange(508, 513),
				rapid.IntRange(0, 1200)).Draw(t, "size")
			octets := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "octets")
			quoted := size == 0 || rapid.Bool().Draw(t, "quoted")
			var b strings.Builder
			for _, c := range octets {
				switch plain := 'a' <= c && c <= 'z'; {
				case plain || quoted && (c == ' ' || c == ';' || c == '('):
					b.WriteByte(c)
				case '!' <= c && c <= '~' && (c < '0' || c > '9'):
					b.WriteString(`\` + string(rune(c)))
				default:
					fmt.Fprintf(&b, `\%03d`, c)
				}
			}
			if text = append(text, b.String()); quoted {
				text[len(text)-1] = `"` + b.String() + `"`
			}
			long = long || size > 255
			for first := true; first || len(octets) > 0; first = false {
				n := min(255, len(octets))
				want = append(append(want, byte(n)), octets[:n]...)
				octets = octets[n:]
			}
		}
		joined := strings.Join(text, " ")
		got, err := ParseData(kind, joined, Root)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s %s\n%v\n%q\n%q", kind, joined, err, got, want)
		}
		if HasLongString(kind, joined) != long {
			t.Fatalf("%s is told to be cut: %t", joined, !long)
		}
	})
}
