#!/usr/bin/env bash
# Reads the units as systemd does and fails if systemd finds fault with them, or more exposure than there was.
set -euo pipefail
cd "$(dirname "$0")"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
for unit in leeward.service leeward-probe.service leeward-sign.service; do
    # verify wants the binary to be there: any will do.
    sed 's|^ExecStart=/usr/local/bin/leeward|ExecStart=/bin/true|' "$unit" > "$root/$unit"
    said=$(systemd-analyze verify --man=no "$root/$unit" 2>&1 | grep "$unit" || true)
    if [ -n "$said" ]; then echo "$said" >&2; exit 1; fi
    systemd-analyze security --offline=true --threshold=20 "$unit" --no-pager 2>&1 | tail -1
done
