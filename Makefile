# Postern. `make run` and `make test` need Go, gcc and make alone.

GO       ?= go
PROGRAMS := posternd postern postern-central
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
BUILT    := $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS  := -s -w -buildid= -X main.version=$(VERSION) -X main.builtAt=$(BUILT)
BUILD    := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)"
TOOL     := $(GO) tool -modfile=tools.mod
ARCHES   := amd64 arm64 armv7 armv6
FUZZTIME ?= 10s

.PHONY: all run bin test test-broker test-postgres test-noise test-model test-crash test-crash-full test-faults \
  test-system test-system-full test-deb test-deb-full test-sim test-mutations test-oracle bench bench-pin bench-sync fuzz \
  lint build deb wiring clean $(addprefix build-,$(ARCHES))

all: bin

# One panel with simulated doors, the central server and a broker, on loopback.
run: bin
	@exec bin/postern demo $(DEMO)

bin:
	$(BUILD) -o bin/ $(addprefix ./cmd/,$(PROGRAMS))

# Everything that needs no root, no hardware and no other service. gcc is for
# the race detector.
test:
	$(GO) test -race -timeout 30m ./...
	$(GO) test -count=1 ./systemtest/scenarios

# The end-to-end tests through real brokers (apt packages mosquitto, nats-server),
# and who may say and hear what with the shipped access rules.
test-broker:
	for b in mosquitto mosquitto-tls nats; do POSTERN_TEST_BROKER=$$b $(GO) test -count=1 -run 'EndToEnd' ./cmd/posternd || exit 1; done
	$(GO) test -count=1 -run 'ACL|TLS|NATS|HalfOpen' -v ./cmd/posternd

# Central's store on a real PostgreSQL, started for the test (apt package postgresql).
test-postgres:
	.ci/with-postgres $(GO) test -count=1 ./central/...

# Ten million random pulse trains: no grant for a card that was not drawn.
test-noise:
	POSTERN_NOISE=10000000 $(GO) test -count=1 -run Noise -v ./wiegand

# Random histories of central, panel and broker against a model, in virtual time.
HISTORIES ?= 100000
test-model:
	POSTERN_HISTORIES=$(HISTORIES) $(GO) test -count=1 -timeout 12h -run Histories ./systemtest/protocol

# Scenarios of a whole panel against a model of its decisions, and faults made by
# hand that the tests have to catch.
SCENARIOS ?= 1000000
test-sim:
	POSTERN_SCENARIOS=$(SCENARIOS) POSTERN_REPORT=$(CURDIR)/build/report/test-sim.json \
	  $(GO) test -count=1 -timeout 12h -v -run Scenarios ./systemtest/scenarios
test-mutations:
	$(GO) run ./systemtest/mutations

# Schedules against every minute of ten years in 20 time zones.
test-oracle:
	POSTERN_ORACLE=full $(GO) test -count=1 -timeout 4h -run Oracle ./access

# Every state that a power cut can leave the store in (apt package strace).
test-crash:
	$(GO) run ./systemtest/crash
test-crash-full:
	$(GO) run ./systemtest/crash -full

# Panel, central and a real Mosquitto, killed and cut off again and again.
test-faults:
	$(GO) run ./systemtest/faults $(FAULTS)

# The shipped programs in emulated machines; docs/testing.md says what it needs.
test-system:
	$(GO) run ./systemtest
test-system-full:
	$(GO) run ./systemtest -full

# Snapshots, deltas and decisions beside them, as ratios in one run (Mosquitto).
bench-sync:
	$(GO) run ./systemtest/synbench $(BENCH)

# Debian packages; and their life in a Debian root (apt packages lintian,
# mmdebstrap; as root). test-deb-full compiles all of them once more from nothing.
deb:
	$(GO) run ./packaging/build -out dist/deb
test-deb:
	POSTERN_TEST_DEB=1 $(GO) test -timeout 30m -count=1 -v ./packaging/debtest
test-deb-full:
	POSTERN_TEST_DEB=full $(GO) test -timeout 90m -count=1 -v ./packaging/debtest

# Wiring diagrams and pin lists, made from the shipped profiles.
wiring:
	$(GO) run ./firmware-config/wiring

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./store ./access ./wiegand

# Whether the time of an answer tells a right PIN from a wrong one.
bench-pin:
	POSTERN_PIN_TIMING=full $(GO) test -count=1 -timeout 4h -v ./systemtest/timing

# Each fuzz target for a while; `make test` runs their seeds.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

lint:
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted (gofumpt -w):"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...

build: $(addprefix build-,$(ARCHES))

build-amd64: ; GOOS=linux GOARCH=amd64 $(BUILD) -o dist/amd64/ $(addprefix ./cmd/,$(PROGRAMS))
build-arm64: ; GOOS=linux GOARCH=arm64 $(BUILD) -o dist/arm64/ $(addprefix ./cmd/,$(PROGRAMS))
build-armv7: ; GOOS=linux GOARCH=arm GOARM=7 $(BUILD) -o dist/armv7/ $(addprefix ./cmd/,$(PROGRAMS))
build-armv6: ; GOOS=linux GOARCH=arm GOARM=6 $(BUILD) -o dist/armv6/ $(addprefix ./cmd/,$(PROGRAMS))

clean:
	rm -rf bin dist build
