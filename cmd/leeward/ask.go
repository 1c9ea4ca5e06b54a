package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"leeward/server/admin"
)

// adminFlags say which server's admin interface to ask.
type adminFlags struct {
	url              string
	token, tokenFile string
	tls              adminTLSFlags

	timeout time.Duration
}

func (f *adminFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "admin", "http://127.0.0.1:8053", "the `URL` of a server's admin interface")
	flags.StringVar(&f.token, "admin-token", "", "the server's admin token; safer in LEEWARD_ADMIN_TOKEN or a file")
	flags.StringVar(&f.tokenFile, "admin-token-file", "", "a `FILE` with the token")
	f.tls.add(flags)
	flags.DurationVar(&f.timeout, "admin-timeout", 10*time.Second, "how long to wait for an answer")
}

// get reads the JSON of a page into v.
func (f *adminFlags) get(ctx context.Context, path string, query url.Values, v any) error {
	u, err := f.tls.page(f.url, path)
	if err != nil {
		return err
	}
	base := u.Scheme + "://" + u.Host
	u.RawQuery = query.Encode()
	token, err := readToken(f.token, f.tokenFile)
	if err != nil {
		return err
	}
	secure, err := f.tls.config()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, f.timeout)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, DisableKeepAlives: true},
		// The token is for the server that was named, not for one to which that redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		if known := f.tls.explain(err); known.Error() != err.Error() {
			return fmt.Errorf("%s: %w", base, known)
		}
		return fmt.Errorf("nobody answers at %s: %w; give a server's admin interface with --admin URL, or read from "+
			"etcd with --etcd URL", base, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 256<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	var failure admin.Failure
	switch {
	case answer.StatusCode == http.StatusOK:
	case json.Unmarshal(body, &failure) == nil && failure.Error != "":
		if answer.StatusCode == http.StatusBadRequest {
			return usageError{errors.New(failure.Error)}
		}
		return fmt.Errorf("%s: %s", base, failure.Error)
	case strings.Contains(string(body), plainToTLS):
		return speaksTLS(base)
	default:
		return fmt.Errorf("%s: %s; is it a Leeward server's admin interface?", u, answer.Status)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s: %w; is it a Leeward server's admin interface?", u, err)
	}
	return nil
}

// choose returns which of several flags that exclude each other is given, "" if none is. The command line overrides the
// environment; two flags from the same place are an error.
func (inv *invocation) choose(flags *pflag.FlagSet, names ...string) (string, error) {
	return inv.one(flags, []bool{false, true}, names)
}

// prefer is choose for a verb that only asks. Its environment is often that of a server, so several flags there are no
// error: the first of names counts.
func (inv *invocation) prefer(flags *pflag.FlagSet, names ...string) (string, error) {
	from, err := inv.one(flags, []bool{false}, names)
	for _, name := range names {
		if from == "" && err == nil && flags.Changed(name) {
			return name, nil
		}
	}
	return from, err
}

func (inv *invocation) one(flags *pflag.FlagSet, environments []bool, names []string) (string, error) {
	for _, environment := range environments {
		var given []string
		for _, name := range names {
			if flags.Changed(name) && inv.fromEnv[name] == environment {
				given = append(given, name)
			}
		}
		switch {
		case len(given) > 1:
			return "", misused("--%s and --%s exclude each other; leave one out", given[0], given[1])
		case len(given) == 1:
			return given[0], nil
		}
	}
	return "", nil
}
