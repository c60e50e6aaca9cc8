# `make demo` shows it, `make test` proves it. Everything else is detail.
GO ?= go
export CGO_ENABLED = 0
# -l: no inlining of calls saves 14 % of the packed size and costs nothing measurable.
RELEASE = -trimpath -buildvcs=false -overlay bin/_overlay/overlay.json -modfile bin/_overlay/go.mod -tags tcell_minimal,noeventfd -gcflags=all=-l -gcflags=reown/internal/xts/...="" -gcflags=reown/internal/unpack="" -ldflags='-s -w -buildid='
# For a package, on a machine that is slower or busier than most.
TESTTIME ?= 25m

.PHONY: all setup build lab demo demo-host test soak lint size fuzz clean
all: build

setup: ; @scripts/setup
build: # under a lock, because several packages' tests build at once
	@mkdir -p bin && flock bin/.lock $(GO) run ./scripts/overlay bin/_overlay
	flock bin/.lock $(GO) build $(RELEASE) -o bin/reown ./cmd/reown

lab: build
	@$(GO) build -o bin/lab ./cmd/lab

# A whole virtual laptop as a seller ships it, its console in this terminal. NEW=1 builds
# another one instead of going on with the last.
demo: setup lab
	@bin/lab demo $(if $(NEW),--new)

# The quick one: no virtual machine, the wizard on this computer with a laptop's parts.
demo-host: setup lab
	@bin/lab demo-host

# The package that takes longest begins, so that the other core has work to the end.
# -count=1: what tests do with the built binary is unknown to Go's cache.
test: setup build lint
	@scripts/size check
	$(GO) test -count=1 -timeout $(TESTTIME) ./internal/lab/vm ./...

# Everything that takes long: crash enumeration, fuzzing, many interruptions.
soak:
	@REOWN_SOAK=1 scripts/setup
	@$(MAKE) build
	REOWN_SOAK=1 REOWN_REQUIRE_PEERS=1 $(GO) test -count=1 -timeout 12h ./...
	$(MAKE) fuzz FUZZTIME=10m

fuzz: ; @scripts/fuzz $(or $(FUZZTIME),30s)

lint:
	@test -z "$$(gofmt -l cmd wizard tpm gpgcard luks boot internal)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	GOARCH=ppc64le $(GO) vet ./...

size: build ; @scripts/size
clean: ; rm -rf bin .lab
