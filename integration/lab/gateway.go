//go:build linux

package lab

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"
)

// Gateway puts keys by etcd's HTTP gateway: many in one transaction, and at a known instant. A process for each put
// would blur the time.
type Gateway struct {
	URL  string
	HTTP http.Client
}

func (g *Gateway) call(path string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := g.HTTP.Post(g.URL+path, "application/json", bytes.NewReader(b))
	for end := time.Now().Add(30 * time.Second); errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond) // the member has just been started, and does not listen yet
		r, err = g.HTTP.Post(g.URL+path, "application/json", bytes.NewReader(b))
	}
	if err != nil {
		return err
	}
	defer r.Body.Close()
	said, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd: %s: %s", r.Status, said)
	}
	return nil
}

type pair map[string]string

func pairOf(key, value string) pair {
	return pair{
		"key":   base64.StdEncoding.EncodeToString([]byte("/leeward/" + key)),
		"value": base64.StdEncoding.EncodeToString([]byte(value)),
	}
}

// Put puts one key.
func (g *Gateway) Put(key, value string) error { return g.call("/v3/kv/put", pairOf(key, value)) }

// Fill puts n keys, 120 a transaction.
func (g *Gateway) Fill(n int, entry func(i int) (key, value string)) error {
	for i := 0; i < n; {
		var ops []any
		for ; i < n && len(ops) < 120; i++ {
			key, value := entry(i)
			ops = append(ops, map[string]any{"request_put": pairOf(key, value)})
		}
		if err := g.call("/v3/kv/txn", map[string]any{"success": ops}); err != nil {
			return err
		}
	}
	return nil
}
