//go:build !noembed

package process_test

import (
	"fmt"
	"strings"
	"testing"

	"leeward/cmd/leeward/process"
)

// An endpoint dies while a server is down. The copy on disk says that it is up, but the other vantages know better. A
// query that waits for the first answer after the start gets the right one.
func TestFirstAnswerKnowsWhatOthersSay(t *testing.T) {
	c := newCluster(t)
	near := listen(t, "127.0.0.1:0")
	far := listen(t, fmt.Sprintf("127.0.0.2:%d", near.address.Port()))
	c.putAll(strings.NewReplacer("192.0.2.1", near.address.Addr().String(), "192.0.2.2", far.address.Addr().String(),
		"{port: 80}", fmt.Sprintf("{port: %d}", near.address.Port()), "interval: 1s",
		"interval: 1s\ntimeout: 1s\nfall: 2").Replace(resources))
	withState := func(id, state string) process.Settings {
		s := settings(id, c)
		s.State = state
		return s
	}
	state := t.TempDir()
	a, b := serve(t, withState("a", state)), serve(t, settings("b", c))
	for _, p := range []*member{a, b} {
		p.await("both vote up", func() string { return votes(p, "up", "a", "b") })
		p.awaitAnswer("www.example.test", "127.0.0.1")
	}
	a.end()
	near.l.Close()
	b.awaitAnswer("www.example.test", "127.0.0.2")

	again := serve(t, withState("a", state))
	got := again.answer("www.example.test")
	if strings.Contains(again.log.String(), "answering although") {
		t.Skip("the machine is too busy: etcd did not tell what vantages report within the wait")
	}
	if got != "127.0.0.2" {
		t.Errorf("the first answer is %s, of the endpoint that died meanwhile\n%s", got, again.log)
	}
}
