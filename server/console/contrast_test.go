package console

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// colours reads the custom properties of a block of the stylesheet.
func colours(t *testing.T, block string) map[string][3]float64 {
	t.Helper()
	all := map[string][3]float64{}
	for _, m := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
		n, err := strconv.ParseUint(m[2], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = [3]float64{float64(n >> 16 & 255), float64(n >> 8 & 255), float64(n & 255)}
	}
	return all
}

// luminance and contrast are those of WCAG 2.2.
func luminance(c [3]float64) (l float64) {
	for i, weight := range [3]float64{.2126, .7152, .0722} {
		v := c[i] / 255
		if v <= .04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}

func contrast(a, b [3]float64) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

// Everything that must be read or told apart has the contrast of WCAG 2.2 AA, on light and on dark ground: 4.5 for
// text, 3 for shapes.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("assets/console.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, two := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !two {
		t.Fatal("the stylesheet has no dark colours")
	}
	dark, _, _ = strings.Cut(dark, "\n}")
	for name, c := range map[string]map[string][3]float64{"light": colours(t, light), "dark": colours(t, dark)} {
		if len(c) != 12 {
			t.Errorf("%s: %d colours, want 12", name, len(c))
		}
		for _, pair := range []struct {
			front   string
			grounds []string
			least   float64
		}{
			{"text", []string{"ground", "raised", "code", "land"}, 4.5},
			{"quiet", []string{"ground", "raised"}, 4.5},
			{"link", []string{"ground", "raised"}, 4.5},
			{"on", []string{"bad", "link"}, 4.5},
			{"good", []string{"ground", "raised", "land"}, 3},
			{"warn", []string{"ground", "raised", "land"}, 3},
			{"bad", []string{"ground", "raised", "land"}, 3},
		} {
			for _, ground := range pair.grounds {
				if got := contrast(c[pair.front], c[ground]); got < pair.least {
					t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", name, pair.front, ground, got,
						pair.least)
				}
			}
		}
	}
	if got := contrast([3]float64{255, 255, 255}, [3]float64{}); math.Abs(got-21) > .001 {
		t.Errorf("white on black is %v", got)
	}
}
