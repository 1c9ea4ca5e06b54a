package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// newHealthcheck is for containers: an image from scratch has no other program that could ask whether the server is
// ready. It needs no token, because /readyz needs none.
func newHealthcheck(inv *invocation) *cobra.Command {
	var address string
	var secure adminTLSFlags
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Exit 0 if the server is ready, 1 if not", GroupID: groupServe, Args: cobra.NoArgs,
		Long: `Healthcheck asks a server's /readyz. It is meant for a container's HEALTHCHECK,
or for a script that waits for the server. It takes the same --admin as serve, so
both can read it from LEEWARD_ADMIN.`,
		Example: "  leeward healthcheck\n  leeward healthcheck --admin 127.0.0.1:8054 --timeout 1s",
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := secure.page(address, "/readyz")
			if err != nil {
				return err
			}
			config, err := secure.config()
			if err != nil {
				return err
			}
			ctx, stop := context.WithTimeout(cmd.Context(), timeout)
			defer stop()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
			if err != nil {
				return err
			}
			// no proxy: the server is on this machine
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
			answer, err := client.Do(r)
			if err != nil {
				return secure.explain(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
			if err != nil {
				return err
			}
			if strings.Contains(string(body), plainToTLS) {
				return speaksTLS(page.String())
			}
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s: %s", page, answer.Status, strings.TrimSpace(string(body)))
			}
			inv.printf("%s\n", strings.TrimSpace(string(body)))
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "admin", "127.0.0.1:8053", "the `ADDRESS` or URL of the server's admin interface")
	secure.add(cmd.Flags())
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for an answer")
	return cmd
}
