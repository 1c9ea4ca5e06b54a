package document

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Each character that YAML forbids is reported with its line, however long the file and however it is read.
func TestOctets(t *testing.T) {
	good := strings.Repeat("# é\r\n# \U0001F600 \t\n", 3000)
	for bad, want := range map[string]string{
		"\x00": "U+0000", "\x1b": "U+001B", "\x7f": "U+007F", "\u0090": "U+0090",
		"caf\xe9": "0xe9 is not UTF-8", "\xff": "0xff is not UTF-8",
		"\xf0\x9f\n": "0xf0 is not UTF-8", "\xe2\x82": "0xe2 is",
	} {
		for _, before := range []string{"", good} {
			text := before + "kind: " + bad
			line := strings.Count(before, "\n") + 1
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(text), "by octets": iotest.OneByteReader(strings.NewReader(text)),
				"with its end": iotest.DataErrReader(strings.NewReader(text)),
			} {
				_, problems := Read("x.yaml", r)
				if len(problems) != 1 || problems[0].Line != line || !strings.Contains(problems[0].Message, want) {
					t.Errorf("%q in line %d, %s: %v, want %s", bad, line, name, problems, want)
				}
			}
		}
	}
	if _, problems := Read("x.yaml", strings.NewReader(good)); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestTab(t *testing.T) {
	_, problems := Read("x.yaml", strings.NewReader("kind: Zone\nnameservers:\n\t- a\n"))
	if len(problems) != 1 || problems[0].Line != 3 || !strings.Contains(problems[0].Message, "not tabs") {
		t.Error(problems)
	}
}
