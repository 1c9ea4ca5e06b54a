# What .ci/run runs, one by one.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     = mvdan.cc/gofumpt@v0.12.0
# A number of inputs, not a time: the fuzzer can fail a target that is minimizing an input when its time is up. Left to
# itself it minimizes each input that is new to it for a minute, which can take hours in all.
FUZZTIME   ?= 20000x

.PHONY: screenshots docs-images build test race scenarios faults chaos fuzz bench bench-peers lint fumpt vet staticcheck builds units reference man integration measure capacity abuse image clean

build: ## the binary, ./leeward
	CGO_ENABLED=0 go build -trimpath -o leeward ./cmd/leeward

test: ## all tests; those that need root or a missing program skip and say so
	go test ./...

race: ## all tests with the race detector, the binary under test included
	go test -race ./...

integration: ## the black-box tests, none of them skipped: as root, with etcd, unbound, iproute2 and nftables
	CI=true go test -count=1 -p 1 -v ./integration/...

scenarios: ## what is taken away, and what holds: as root, with the timelines, but for those that take long; ONLY='04|12' plays some
	CI=true go test -count=1 -timeout 25m -v -run '^TestScenarios$$/($(ONLY))' ./integration/scenario -scenarios

faults: ## all of them
	CI=true go test -count=1 -timeout 90m -v -run '^TestScenarios$$/($(ONLY))' ./integration/scenario -faults

SEED ?= $(shell date +%s)
FOR  ?= 10m

chaos: ## faults by lot, two or three at once, for FOR; the same SEED draws the same again
	CI=true go test -count=1 -timeout 120m -v -run '^TestChaos$$' ./integration/scenario -chaos $(SEED) -chaos-for $(FOR)

measure: ## the figures of docs/measurements.md
	go test -count=1 -timeout 60m -run '^TestMeasure' -p 1 -v ./integration/measure ./cmd/leeward/process -measure

CAPACITY_OUT ?= /tmp/leeward-capacity
CAPACITY_AT_ONCE ?= 2

capacity: ## worlds in which load matters, three times each, with and without spill: figures and pictures in CAPACITY_OUT, half an hour
	CI=true go test -count=1 -timeout 150m -v -parallel $(CAPACITY_AT_ONCE) -run '^TestCapacity(All|Foretold)$$' ./integration/capacity -capacity "$(abspath $(CAPACITY_OUT))"

abuse: ## floods, slow clients and broken messages at full size, as root: minutes
	CI=true go test -count=1 -timeout 60m -run '^TestAbuse' -v ./integration/abuse -abuse

SCREENSHOTS ?= /tmp/leeward-screenshots

screenshots: ## pictures of all screens of the console during an outage, in SCREENSHOTS: as root, with etcd and chromium, a minute
	CI=true SCREENSHOTS="$(abspath $(SCREENSHOTS))" go test -count=1 -timeout 10m -v -run '^TestConsole$$' ./integration/console
	@echo "the pictures are in $(abspath $(SCREENSHOTS))"

docs-images: screenshots ## the pictures of README and docs/admin.md, taken anew; needs pngquant
	for name in night-light night-dark-narrow region-dark pool-dark policy-light explain-light; do \
	    pngquant --force --output "docs/images/console-$$name.png" "$(SCREENSHOTS)/$$name.png" || exit 1; \
	done

bench: ## benchmarks
	go test -run '^$$' -bench . -benchmem ./...

# Where the comparison with other servers is: a script that runs them and this one in turn on the same works.
PEERS       ?= ../shared/perf/peers.sh
PEERS_WORKS ?= w1 w2 w3
PEERS_OTHER ?= gdnsd knot nsd
PEERS_OUT   ?= /tmp/perf-run

bench-peers: ## this server beside others, as root, on a machine of two cores with nothing else to do: under 10 minutes
	@test -x "$(PEERS)" || { echo "bench-peers: $(PEERS) is not there; it is not part of this repository. Give PEERS=, the path of peers.sh" \
	    "(leeward.py lies beside it), or measure this server alone: make bench, and leeward bench for the load at which it breaks."; exit 1; }
	CGO_ENABLED=0 go build -trimpath -o leeward ./cmd/leeward
	OUT="$(PEERS_OUT)" HOOK_leeward="$(dir $(PEERS))leeward.py" "$(PEERS)" -w "$(PEERS_WORKS)" -p "$(PEERS_OTHER)" -r 5 -d 1 -s leeward \
	    "$(CURDIR)/leeward serve --files {dir}/files --geodb $(PEERS_OUT)/city.mmdb --listen {ip}:{port} --admin 127.0.0.1:0 --rrl 100000000"

fuzz: ## every fuzz target for FUZZTIME (a number of inputs as 100000x, or a time as 5m)
	@set -e; for package in $$(go list ./...); do \
	    for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	        echo "$$package $$target"; \
	        go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
	    done; \
	done

lint: fumpt vet staticcheck ## what does not run

fumpt:
	@files="$$(go run $(GOFUMPT) -l .)"; if [ -n "$$files" ]; then echo "gofumpt -w would change:"; echo "$$files"; exit 1; fi

vet:
	go vet ./...
	go vet -tags noembed ./...
	go vet -race ./...

staticcheck:
	go run $(STATICCHECK) ./...

builds: ## all ways it is built
	CGO_ENABLED=0 go build -trimpath ./...
	CGO_ENABLED=0 go build -trimpath -tags noembed ./...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go vet ./...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build ./...
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build ./...

units: ## the systemd units are well formed and stay as hardened as they are
	deploy/systemd/check.sh

MAN_OUT ?= man

man: ## a man page for each verb, in MAN_OUT
	go test -count=1 -run '^TestMan$$' ./cmd/leeward -man "$(abspath $(MAN_OUT))"

reference: ## docs/reference.md, from the comments and tags of the model
	go test -count=1 -run '^TestWords$$' ./zones/reference -update >/dev/null || go test -count=1 -run '^TestWords$$' ./zones/reference -update

image: ## the container image by buildah, on a base made here, and a server answering from it
	deploy/image.sh

clean:
	rm -f leeward
