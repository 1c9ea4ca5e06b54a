package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/disk"
	"leeward/zones/document"
	"leeward/zones/rr"
)

// inputFlags say which documents a verb reads.
type inputFlags struct{ files []string }

func (f *inputFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.files, "filename", "f", nil,
		"a `FILE`, a folder and all in it, or - for standard input: YAML, JSON or <origin>.zone; repeatable")
}

// only is the Args of a verb that takes no arguments but -f.
func (f *inputFlags) only(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q: name files and folders with -f, as in: %s -f %s", args[0], cmd.CommandPath(), args[0])
}

// read reads all that -f names. Positions have the paths as they were given.
func (f *inputFlags) read(inv *invocation) ([]zones.Document, zones.Problems, error) {
	if len(f.files) == 0 {
		return nil, nil, misused("nothing to read; name a file or a folder with -f, or -f - for standard input")
	}
	var docs []zones.Document
	var problems zones.Problems
	for _, name := range f.files {
		some, wrong, err := inv.readInput(name)
		if err != nil {
			return nil, nil, err
		}
		if len(some) == 0 && len(wrong.Errors()) == 0 {
			// Nobody writes an empty document on purpose: the command before the pipe has failed, or a disk was full.
			shown := "-f " + name
			if name == "-" {
				shown = "standard input"
			}
			return nil, nil, fmt.Errorf("%s has no resource in it", shown)
		}
		docs, problems = append(docs, some...), append(problems, wrong...)
	}
	if len(f.files) > 1 {
		var wrong zones.Problems
		docs, wrong = zones.Merge(docs)
		problems = append(problems, wrong...)
	}
	return docs, problems, nil
}

func (inv *invocation) readInput(name string) ([]zones.Document, zones.Problems, error) {
	if name == "-" {
		docs, problems := document.Read("standard input", inv.heed(inv.in))
		return merged(docs, problems)
	}
	s, err := os.Stat(name)
	if err != nil {
		return nil, nil, fmt.Errorf("-f: %w", err)
	}
	if s.IsDir() {
		docs, problems := document.ReadFolder(name, os.DirFS(name), func(path string) (fs.File, error) {
			return disk.Open(filepath.Join(name, filepath.FromSlash(path)))
		}, func(dir string) fs.FS { return document.Includes(filepath.Join(name, filepath.FromSlash(dir))) })
		if len(docs) == 0 && len(problems.Errors()) == 0 {
			inv.complain(problems)
			return nil, nil, fmt.Errorf("-f %s: no *.yaml, *.yml, *.json or *.zone file is in this folder or below it",
				name)
		}
		return docs, problems, nil
	}
	r, err := openGiven(name)
	if err != nil {
		return nil, nil, fmt.Errorf("-f: %w", err)
	}
	defer r.Close()
	if origin, ok := strings.CutSuffix(filepath.Base(name), ".zone"); ok {
		docs, problems := document.ReadMaster(name, origin, inv.heed(r), document.Includes(filepath.Dir(name)))
		return merged(docs, problems)
	}
	docs, problems := document.Read(name, inv.heed(r))
	return merged(docs, problems)
}

// openGiven opens a file that the command line names. It may be a pipe, as from <(…) in a shell, or a terminal, as
// /dev/stdin. A pipe that nobody writes to is empty; opening it does not wait. Whoever reads heeds a signal.
func openGiven(name string) (*os.File, error) {
	f, err := disk.Open(name)
	if !errors.Is(err, disk.ErrNotRegular) {
		return f, err
	}
	status, gone := os.Stat(name)
	if gone != nil {
		return nil, gone
	}
	if status.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return nil, err
	}
	if f, gone = os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0); gone != nil {
		return nil, gone
	}
	if status.Mode()&fs.ModeNamedPipe == 0 && !terminal(f) {
		f.Close()
		return nil, err
	}
	return f, nil
}

// heed returns a reader whose reads end with the first signal, whatever those of r wait for: a pipe that stays open,
// somebody at a terminal.
func (inv *invocation) heed(r io.Reader) io.Reader { return heeding{inv.ended, r} }

type heeding struct {
	ended context.Context
	io.Reader
}

func (h heeding) Read(p []byte) (int, error) {
	if err := context.Cause(h.ended); err != nil {
		return 0, err
	}
	type result struct {
		octets []byte
		err    error
	}
	read := make(chan result, 1)
	go func() {
		octets := make([]byte, len(p)) // p is the caller's again as soon as there is a signal
		n, err := h.Reader.Read(octets)
		read <- result{octets[:n], err}
	}()
	select {
	case r := <-read:
		return copy(p, r.octets), r.err
	case <-h.ended.Done():
		return 0, context.Cause(h.ended)
	}
}

// unlessEnded runs work that looks at no signal and leaves nothing half done. A signal ends the wait for it.
func (inv *invocation) unlessEnded(work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-inv.ended.Done():
		return context.Cause(inv.ended)
	}
}

func merged(docs []zones.Document, problems zones.Problems) ([]zones.Document, zones.Problems, error) {
	docs, wrong := zones.Merge(docs)
	return docs, append(problems, wrong...), nil
}

// stored returns the documents as etcd keeps them: without serials, which follow etcd's revision.
func stored(docs []zones.Document) []zones.Document {
	docs = slices.Clone(docs)
	for i := range docs {
		if z, ok := docs[i].Resource.(*zones.Zone); ok && z.Serial != nil {
			without := *z
			without.Serial = nil
			docs[i].Resource = &without
		}
	}
	return docs
}

// complain prints problems, one a line, and sums up many that are alike.
func (inv *invocation) complain(problems zones.Problems) {
	for _, p := range problems.Summary() {
		fmt.Fprintln(inv.told, p)
	}
}

// parseKind reads a kind as people write it: "pool", "pools", "Pool".
func parseKind(s string) (zones.Kind, error) {
	word := strings.ToLower(s)
	for _, kind := range zones.Kinds {
		if word == strings.ToLower(string(kind)) || word+"/" == string(zones.KeyOf(kind, "")) {
			return kind, nil
		}
	}
	var all []string
	for _, kind := range zones.Kinds {
		all = append(all, strings.ToLower(string(kind)))
	}
	return "", misused("%q is not a kind of resource; the kinds are %s", s, strings.Join(all, ", "))
}

// parseKeys reads "KIND NAME…" or "KIND/NAME…". For a kind alone it returns the kind and no keys.
func parseKeys(args []string) (kind zones.Kind, keys []zones.Key, err error) {
	if len(args) == 0 {
		return "", nil, nil
	}
	if !strings.Contains(args[0], "/") {
		if kind, err = parseKind(args[0]); err != nil {
			return "", nil, err
		}
		for _, name := range args[1:] {
			keys = append(keys, zones.KeyOf(kind, canonical(kind, name)))
		}
		return kind, keys, nil
	}
	for _, arg := range args {
		word, name, ok := strings.Cut(arg, "/")
		if !ok || name == "" {
			return "", nil, misused("%q: write KIND/NAME, as in pool/www-eu", arg)
		}
		kind, err := parseKind(word)
		if err != nil {
			return "", nil, err
		}
		keys = append(keys, zones.KeyOf(kind, canonical(kind, name)))
	}
	return "", keys, nil
}

// canonical spells a name as it is in keys: domain names in lower case, without the final dot.
func canonical(kind zones.Kind, name string) string {
	switch kind {
	case zones.KindZone, zones.KindPolicy:
		name = rr.TrimDot(strings.ToLower(name))
	case zones.KindDefaults:
		for _, of := range zones.KindsWithDefaults() {
			if strings.EqualFold(name, string(of)) {
				name = string(of)
			}
		}
	}
	return name
}

// progress returns a function that shows on one line of a terminal how far long work is; nil if there is no terminal.
func (inv *invocation) progress(what string) func(done, all int) {
	if !terminal(inv.err) {
		return nil
	}
	return func(done, all int) {
		end := "\r"
		if done == all {
			end = "\n"
		}
		fmt.Fprintf(inv.err, "%s %d of %d%s", what, done, all, end)
	}
}

// who names the operator, in what is written into etcd.
func (inv *invocation) who() string {
	user := inv.env["USER"]
	if user == "" {
		user = "unknown"
	}
	if host, err := os.Hostname(); err == nil {
		return user + "@" + host
	}
	return user
}
