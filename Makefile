# `make demo` shows it, `make test` proves it. Everything else is detail.
GO ?= go
export CGO_ENABLED = 0
# The Go that go.mod names, which another one fetches.
export GOTOOLCHAIN = $(shell sed -n "s/^toolchain //p" go.mod)
# Tests compile the same changed modules and the same changed Go as the program that is shipped.
PATCHED = -overlay bin/_overlay/overlay.json $(if $(wildcard vendor/modules.txt),-mod=vendor,-modfile bin/_overlay/go.mod)
# For a package, on a machine that is slower or busier than most.
TESTTIME ?= 45m

.PHONY: all setup build lab demo demo-host test soak lint smoke size docs fuzz release clean
all: build

setup: ; @scripts/setup
build: ; @scripts/build bin/reown

lab: build
	@$(GO) build $(PATCHED) -o bin/lab ./cmd/lab

# A whole virtual laptop as a seller ships it, its console in this terminal. NEW=1 builds
# another one instead of going on with the last.
demo: setup lab
	@bin/lab demo $(if $(NEW),--new)

# The quick one: no virtual machine, the wizard on this computer with a laptop's parts.
demo-host: setup lab
	@bin/lab demo-host

# The package that takes longest begins, so that the other core has work to the end.
# -count=1: what tests do with the built binary is unknown to Go's cache.
test: setup build
	@scripts/lint quick
	@scripts/size check
	@scripts/smoke
	@$(GO) build $(PATCHED) -o bin/results ./scripts/results
	$(GO) test $(PATCHED) -json -count=1 -timeout $(TESTTIME) ./internal/lab/vm ./... github.com/rivo/uniseg | bin/results

# Everything that takes long: crash enumeration, fuzzing, many interruptions.
soak:
	@REOWN_SOAK=1 scripts/setup
	@$(MAKE) build
	REOWN_SOAK=1 REOWN_REQUIRE_PEERS=1 $(GO) test $(PATCHED) -count=1 -timeout 12h ./... github.com/rivo/uniseg
	$(MAKE) fuzz FUZZTIME=10m

fuzz: ; @scripts/fuzz $(or $(FUZZTIME),30s)

lint: build ; @scripts/lint
# What the release for arm64 and ppc64le says under emulation.
smoke: build ; @scripts/smoke

size: build ; @scripts/size

# The buyer's papers to print, with Debian's weasyprint: the sheet, the quick guide, the guide.
docs: ; @scripts/papers bin/docs

# Source, programs for three machines, their components and sums, in bin/release.
release: ; @scripts/release

clean: ; rm -rf bin .lab
