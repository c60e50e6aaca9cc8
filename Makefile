# reown: `make demo` shows it, `make test` proves it. Everything else is detail.
GO      ?= go
export CGO_ENABLED = 0
GOFLAGS_RELEASE = -trimpath -buildvcs=auto -tags tcell_minimal -gcflags=all=-l -ldflags='-s -w -buildid='

.PHONY: all setup build demo test soak lint size clean
all: build

setup: ; @scripts/setup
build: ; $(GO) build $(GOFLAGS_RELEASE) -o bin/reown ./cmd/reown
