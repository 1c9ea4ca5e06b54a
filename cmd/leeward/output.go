package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"leeward/cmd/leeward/screen"
)

// addOutput puts -o on a verb. Forms are what the verb can print; the first, for people, is the default.
func addOutput(cmd *cobra.Command, into *string, forms ...string) {
	*into = forms[0]
	cmd.Flags().VarP(&choice{into, forms}, "output", "o", "print `"+strings.ToUpper(strings.Join(forms, "|"))+"`")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
}

// choice is a flag that takes one of some words. It refuses others where flags are read, before the verb does anything.
type choice struct {
	into  *string
	words []string
}

func (c *choice) String() string {
	if c.into == nil { // pflag asks a zero value what its default is
		return ""
	}
	return *c.into
}

func (c *choice) Type() string { return "word" }

func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		last := len(c.words) - 1
		return fmt.Errorf("write %s or %s", strings.Join(c.words[:last], ", "), c.words[last])
	}
	*c.into = word
	return nil
}

// print writes v as -o asks: text for people, JSON or YAML.
func (inv *invocation) print(output string, v any, text func(w io.Writer, colour bool) error) error {
	switch output {
	case "json":
		return writeJSON(inv.out, v)
	case "yaml":
		b, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = inv.out.Write(b)
		return err
	}
	return text(inv.page, inv.colour(inv.out))
}

// writeJSON writes a value for scripts, indented for people who read along.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// heeded is a stream whose writes end soon after the first signal, whoever does not read what is written: a pager, a
// pipe. The verb then ends as it does when a write fails. Once a write has ended so, the others fail at once.
type heeded struct {
	io.Writer
	ended context.Context
	stuck atomic.Bool
}

func heedOut(ctx context.Context, w io.Writer) *heeded { return &heeded{Writer: w, ended: ctx} }

// Fd implements screen.Descriptor.
func (h *heeded) Fd() uintptr {
	if f, is := h.Writer.(screen.Descriptor); is {
		return f.Fd()
	}
	return ^uintptr(0) // of no file
}

// mostPiece is how many octets are written at a time, from a copy: a write that nobody waits for any more goes on with
// it.
const mostPiece = 64 << 10

func (h *heeded) Write(p []byte) (n int, err error) {
	piece := make([]byte, min(len(p), mostPiece))
	for first := true; first || n < len(p); first = false {
		written, err := h.write(piece[:copy(piece, p[n:])])
		if n += written; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (h *heeded) write(p []byte) (int, error) {
	if h.stuck.Load() {
		return 0, context.Cause(h.ended)
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := h.Writer.Write(p)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return r.n, r.err
	case <-h.ended.Done():
	}
	select {
	case r := <-done:
		return r.n, r.err
	case <-time.After(lastWords):
		h.stuck.Store(true)
		return 0, context.Cause(h.ended)
	}
}
