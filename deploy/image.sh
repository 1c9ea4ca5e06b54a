#!/usr/bin/env bash
# Builds the Dockerfile with buildah, without root's containers, a daemon or an image from elsewhere, and shows that the
# image answers: the build stage's base is made here from this machine's Go, Debian's static busybox and certificates.
# Needs (Debian): buildah busybox-static ca-certificates bind9-dnsutils. Takes no argument; leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
buildah() { command buildah --storage-driver vfs --root "$work/store" --runroot "$work/run" "$@"; }
stop() { # the server and all that buildah put around it are one process group
    if [ -n "$server" ]; then kill -TERM -- "-$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; server=; fi
}
clean() {
    stop
    buildah rm --all >/dev/null 2>&1 || true
    chmod -R u+w "$work" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

# The base image, under the name that the Dockerfile gives the build stage's.
base=$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' Dockerfile)
rootfs=$work/rootfs
mkdir -p "$rootfs"/{bin,etc/ssl/certs,usr/local,tmp,go/pkg/mod,cache,root,proc,sys,dev}
cp /bin/busybox "$rootfs/bin/busybox"
for applet in sh mkdir ls cat rm cp; do ln -s busybox "$rootfs/bin/$applet"; done
cp -L /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/"
cp -a "$(go env GOROOT)" "$rootfs/usr/local/go"
echo 'root:x:0:0:root:/root:/bin/sh' > "$rootfs/etc/passwd"
made=$(buildah from scratch)
buildah copy -q "$made" "$rootfs" / >/dev/null
buildah config --env PATH=/usr/local/go/bin:/bin --env GOPATH=/go --env GOCACHE=/cache --env GOTOOLCHAIN=local \
    --env "GOPROXY=$(go env GOPROXY)" --env HOME=/root "$made"
buildah commit -q "$made" "localhost/$base" >/dev/null
buildah rm "$made" >/dev/null
rm -rf "$rootfs"

# The modules and compiled packages of this machine are lent to the build stage: nothing is fetched twice.
buildah build --isolation chroot --pull-never --format docker -t leeward \
    --volume "$(go env GOMODCACHE):/go/pkg/mod" --volume "$(go env GOCACHE):/cache" \
    --build-arg "VERSION=$(git describe --tags --always 2>/dev/null || echo unknown)" .

echo "== what the image says of itself"
buildah inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.Entrypoint}} {{.Docker.Config.Healthcheck}}' leeward; echo
[ "$(buildah inspect --type image --format '{{.Docker.Config.User}}' leeward)" = 65532:65532 ]

run=$(buildah from --pull-never leeward)
mounted=$(buildah mount "$run")
echo "== what is in it"
(cd "$mounted" && find . -type f -exec ls -l {} +)
if file "$mounted/leeward" 2>/dev/null | grep -q 'dynamically linked'; then echo "the binary is not static" >&2; exit 1; fi
buildah umount "$run" >/dev/null

echo "== its server answers"
zones=$work/zones
mkdir -p "$zones"
cat > "$zones/example.test.zone" <<'ZONE'
$ORIGIN example.test.
$TTL 300
@   SOA ns1 hostmaster 1 3600 900 86400 30
@   NS  ns1
ns1 A   192.0.2.53
www A   192.0.2.80
ZONE
chmod -R a+rX "$work/zones"; chmod a+x "$work"
inside() { buildah run --isolation chroot --volume "$zones:/zones:ro" "$run" "$@"; }
ready() { inside /leeward healthcheck --admin 127.0.0.1:18053 2>/dev/null; }
inside /leeward version
if ready; then echo "healthy before there is a server" >&2; exit 1; fi
setsid buildah --storage-driver vfs --root "$work/store" --runroot "$work/run" run --isolation chroot --volume "$zones:/zones:ro" "$run" \
    /leeward serve --files /zones --listen 127.0.0.1:15300 --admin 127.0.0.1:18053 &
server=$!
for ((try = 0; ; try++)); do
    if ready; then break; fi
    if [ "$try" -ge 30 ]; then echo "not healthy" >&2; exit 1; fi
    sleep 1
done
answer=$(dig +short @127.0.0.1 -p 15300 www.example.test A)
echo "www.example.test A: $answer"
[ "$answer" = 192.0.2.80 ]
stop
echo "== the image builds and answers"
