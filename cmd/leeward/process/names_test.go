//go:build !noembed

package process_test

import (
	"fmt"
	"strings"
	"testing"
)

// A server whose region does not exist, and two servers of one name, are problems in the status of every server that
// hears from them.
func TestWrongNamesAreProblems(t *testing.T) {
	c := newCluster(t)
	c.putAll(strings.Replace(resources, "monitor: web", "", 2))
	s := settings("b", c)
	s.Region = "eu-wset"
	a, b := serve(t, settings("a", c)), serve(t, s)
	again := serve(t, settings("a", c))
	says := func(p *member, resource, text string) {
		t.Helper()
		p.await(text, func() string {
			problems := p.status().Problems
			for _, x := range problems {
				if x.Resource == resource && strings.Contains(x.Message, text) {
					return ""
				}
			}
			return fmt.Sprintf("%+v", problems)
		})
	}
	says(a, "vantages/b", `no region "eu-wset"`)
	says(b, "vantages/b", `no region "eu-wset"`)
	says(a, "vantages/a", "another process writes as vantage")
	says(again, "vantages/a", "another process writes as vantage")
}
