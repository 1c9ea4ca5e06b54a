package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"leeward/zones/store"
)

func newAccept(inv *invocation) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "accept", Short: "Take what the guard held back", GroupID: groupOperate, Args: cobra.NoArgs,
		Long: `Tell all servers that what went away up to now went away on purpose, and that etcd's history is the right one if it is
not the one that they followed (restored from a backup, made anew). leeward status shows what is held back.`,
		Example: `  leeward status
  leeward accept
  leeward accept --files /etc/leeward     # servers that read this folder`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir != "" {
				return inv.touch(dir)
			}
			e, err := inv.dial()
			if err != nil {
				return err
			}
			defer e.Close()
			revision, err := e.Accept(cmd.Context(), inv.who())
			if err != nil {
				return err
			}
			inv.printf("Accepted at revision %d.\n", revision)
			return nil
		},
	}
	inv.etcd.add(cmd.Flags())
	cmd.Flags().StringVar(&dir, "files", "", "servers that read this folder, in place of etcd")
	return cmd
}

// touch accepts what servers that read a folder hold back.
func (inv *invocation) touch(dir string) error {
	if s, err := os.Stat(dir); err != nil || !s.IsDir() {
		return fmt.Errorf("--files %s: there is no such folder", dir)
	}
	path := filepath.Join(dir, store.AcceptFile)
	err := os.WriteFile(path, []byte(inv.who()+"\n"), 0o644)
	if err == nil {
		now := inv.now()
		err = os.Chtimes(path, now, now)
	}
	if err != nil {
		return fmt.Errorf("%w; where the folder cannot be written to, send the servers SIGHUP", err)
	}
	inv.printf("Accepted for servers that read %s.\n", dir)
	return nil
}
