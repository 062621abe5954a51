# make demo      the whole story on this machine, in some minutes
# make test      formatting, vet, staticcheck, import table, builds, all tests
# make test-ros  the ROS 2 package with colcon, and the tests that need ROS 2
# make build     bin/arfm with every tag that this machine can carry
# make bench     arfm beside other programs, and Go benchmarks, BENCHTIME each
# make fuzz      every fuzz target for FUZZTIME each
GO ?= go
FUZZTIME ?= 60s
BENCHTIME ?= 20ms
ROUNDS ?= 7
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# Tags are found by .ci/setup: openblas, mujoco and turbojpeg where the machine
# carries them. OpenBLAS is linked through gonum's netlib, which takes its library
# from the environment.
TAGS = $(shell cat build/tags 2>/dev/null)
export CGO_LDFLAGS ?= $(if $(findstring openblas,$(TAGS)),-lopenblas)
export OPENBLAS_NUM_THREADS ?= 1

# The packages whose tests run under the race detector: those with goroutines.
RACE = ./policy/nn/gemm ./policy/nn/workers ./policy/vla ./policy/contract/... ./policy/hotswap/... ./policy/onnx/... ./policy/tokenizer/... ./policy/checkpoint/... ./nodes/... ./bags/...

# What a package's tests may take: go's own ten minutes are too few under the race
# detector on a busy machine.
TIMEOUT ?= 30m

.PHONY: setup build demo test test-ros lint cross unit race bench fuzz clean
setup:
	@GO="$(GO)" .ci/setup

build: setup
	@$(MAKE) --no-print-directory bin/arfm

.PHONY: bin/arfm
bin/arfm:
	$(GO) build -tags "$(TAGS)" -o bin/arfm ./nodes/arfm

demo: build
	@bin/arfm demo --out demo --force

test:
	@GO="$(GO)" .ci/setup test
	@$(MAKE) --no-print-directory lint cross unit race

test-ros: setup
	@.ci/test-ros

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(if $(TAGS),$(GO) vet -tags "$(TAGS)" ./... && $(GO) tool staticcheck -tags "$(TAGS)" ./...)

cross:
	CGO_ENABLED=0 $(GO) build ./...
	CGO_ENABLED=0 GOARCH=arm64 $(GO) build ./...

unit:
	$(GO) test -timeout $(TIMEOUT) -tags "$(TAGS)" ./...
	$(if $(TAGS),$(GO) test ./policy/nn/... ./policy/vla/... ./policy/contract/... ./bags)

race:
	$(if $(shell command -v gcc),$(GO) test -race -short -timeout $(TIMEOUT) -tags "$(filter mujoco,$(TAGS))" $(RACE),@echo "no C compiler: the race detector is left out")

# Six to ten minutes. Of use where nothing else runs; for figures that hold:
# make bench BENCHTIME=1s ROUNDS=25
bench:
	@GO="$(GO)" .ci/setup test
	@$(MAKE) --no-print-directory bin/arfm measure

.PHONY: measure
measure:
	bin/arfm bench peers --rounds $(ROUNDS)
	$(GO) test -tags "$(TAGS)" -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	for b in infer train swap; do bin/arfm bench $$b --json; done

fuzz:
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; \
	  done; \
	done

clean:
	rm -rf bin build demo report
