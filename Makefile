# orlop: build, test and measure. `make help` lists the targets.
#
# Everything below works on a fresh Debian or Ubuntu with Go and root: `demo`, `test`
# and `bench` install the Debian packages that they miss (see tests/deps.sh).

# Go's own installer puts the toolchain in /usr/local/go/bin, which no login shell has on PATH.
GO := $(or $(shell command -v go 2>/dev/null),$(wildcard /usr/local/go/bin/go),go)
ifneq ($(dir $(GO)),./)
export PATH := $(patsubst %/,%,$(dir $(GO))):$(PATH)
endif

comma := ,

# Static and not PIE: relocating a PIE costs 0.8 ms at each start. The tag leaves the
# documentation generator out of urfave/cli: contrib/man writes the man pages.
export CGO_ENABLED := 0
# SECCOMP=0 builds without: no C compiler is needed, and a configuration with a seccomp profile is refused.
SECCOMP    ?= 1
TAGS       := urfave_cli_no_docs$(if $(filter-out 0,$(SECCOMP)),$(comma)seccomp)
COMPILER   := $(if $(filter-out 0,$(SECCOMP)),libcontainer/seccomp/compiler.elf)
BUILDFLAGS := -trimpath -buildvcs=false -buildmode=exe -tags $(TAGS) -ldflags "-s -w -buildid="

# What runs a program of GOARCH here, if that is foreign: contrib/release.sh.
EMULATOR   ?=

# How long each fuzz target runs in `make fuzz`.
FUZZTIME ?= 30s
# Time limit of one package's tests, and of what one guest runs (0: none. What takes long is named while it runs.)
TIMEOUT  ?= 0
# Which packages `make test` tests, and which of them also in the guest of tests/vm ("": none, and no guest is made). tests/conformance
# and tests/engines are modules of their own; the engines run in the guest in `make engines` alone, for they take it half an hour.
PKGS     ?= ./... ./tests/conformance ./tests/engines
GUEST    ?= ./cli ./libcontainer/... ./nsenter ./tests/e2e ./tests/security
# Packages with so many tests that the runner runs them in parts.
SPLIT    := ./tests/e2e
# What the tests call, by the names that tests/deps.sh knows: without these, tests are skipped.
TOOLS    := certificates busybox strace qemu-aarch64 ip ps newuidmap zsh fish mandoc man runc
# Which tests, by a regular expression ("": all).
RUN      ?=

# Where `make install` puts things; packagers have DESTDIR before it.
PREFIX  ?= /usr/local
SHARE   := $(DESTDIR)$(PREFIX)/share
PROGRAM := $(DESTDIR)$(PREFIX)/sbin/orlop
BASH    := $(SHARE)/bash-completion/completions/orlop
ZSH     := $(SHARE)/zsh/site-functions/_orlop
FISH    := $(SHARE)/fish/vendor_completions.d/orlop.fish
PAGES   := $(patsubst contrib/man/pages/%.md,%.8,$(wildcard contrib/man/pages/*.md))
SOURCES := go.mod go.sum VERSION $(shell find cli contrib libcontainer nsenter specconv main.go -name '*.go' -o -path 'cli/completion/*' -o -path 'contrib/man/pages/*')

# Which cases `make differential` generates, from which one, and how many; CASE is one in the words of its report.
SEED  ?= 1
FIRST ?= 0
COUNT ?= $(if $(filter differential-guest,$(MAKECMDGOALS)),300,2000)
CASE  ?=

# How often `make attacks` tries each attack.
ROUNDS ?= 1000

.PHONY: all build man install uninstall demo test test-vm race differential differential-guest engines engines-table attacks conformance bench fuzz release lint vulns deps clean help

all: build man

build: $(COMPILER) ## build ./orlop (the default, with man)
	$(GO) build $(BUILDFLAGS) -o orlop .

# The one part with C in it: libseccomp, in a static program that is embedded in orlop and started for a new profile.
libcontainer/seccomp/compiler.elf: $(wildcard libcontainer/seccomp/*.go libcontainer/seccomp/compiler/*.go) go.mod
	@tests/deps.sh certificates gcc libseccomp
	CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false -tags seccomp,osusergo,netgo \
		-ldflags '-s -w -buildid= -linkmode external -extldflags "-static -Wl,--build-id=none"' -o $@ ./libcontainer/seccomp/compiler || \
		{ echo 'This needs a C compiler, pkg-config, and libseccomp with its headers and static library' \
			'(Debian: gcc libc6-dev pkg-config libseccomp-dev). make SECCOMP=0 builds without seccomp.' >&2; exit 1; }
	@$(EMULATOR) $@ version > libcontainer/seccomp/compiler.version

man: ## write the man pages, to build/man
	@rm -rf build/man
	@GOOS= GOARCH= $(GO) run -trimpath -buildvcs=false -tags $(TAGS) ./contrib/man -version "$$(cat VERSION)" build/man

# For install, only what is older than its sources is built: root, who installs, may have neither Go nor the modules.
orlop: $(SOURCES)
	@$(MAKE) --no-print-directory build

build/man: $(SOURCES)
	@$(MAKE) --no-print-directory man

install: orlop build/man ## install program, man pages and completion below $(DESTDIR)$(PREFIX)
	install -D -m 755 orlop $(PROGRAM)
	install -d $(SHARE)/man/man8
	install -m 644 $(PAGES:%=build/man/%) $(SHARE)/man/man8
	install -D -m 644 cli/completion/orlop.bash $(BASH)
	install -D -m 644 cli/completion/orlop.zsh $(ZSH)
	install -D -m 644 cli/completion/orlop.fish $(FISH)

uninstall: ## remove what install has put there
	rm -f $(PROGRAM) $(PAGES:%=$(SHARE)/man/man8/%) $(BASH) $(ZSH) $(FISH)

demo: ## walk a busybox container through its life, with every command shown
	@tests/deps.sh certificates busybox
	@$(MAKE) --no-print-directory build
	@tests/demo/demo.sh ./orlop

test: $(COMPILER) ## go vet, all tests, and those that need root once more in a guest with systemd
	@tests/deps.sh $(TOOLS)
	@$(GO) build -trimpath -buildvcs=false -o build/runner ./tests/runner
	@build/runner -tags $(TAGS) -timeout $(TIMEOUT) -split '$(SPLIT)' -run '$(RUN)' -guest '$(GUEST)' $(PKGS)

test-vm: $(COMPILER) ## those in the guest alone (GUEST=./tests/e2e RUN=TestPaused: some of them)
	@tests/deps.sh certificates busybox
	@$(GO) build -trimpath -buildvcs=false -o build/runner ./tests/runner
	@build/runner -tags $(TAGS) -timeout $(TIMEOUT) -run '$(RUN)' -guest '$(GUEST)'

race: $(COMPILER) ## the race detector over what runs natively: the packages, and orlop in the end-to-end tests that RUN names
	@tests/deps.sh $(TOOLS) gcc
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 0 -tags $(TAGS) ./cli ./libcontainer/... ./nsenter ./specconv/...
	CGO_ENABLED=1 $(GO) build -race -buildmode=exe -tags $(TAGS) -o build/race/orlop .
	ORLOP=$(CURDIR)/build/race/orlop $(GO) test -count=1 -timeout 0 -tags $(TAGS) -run '$(RUN)' ./tests/e2e

differential: build ## compare COUNT (2000) generated containers with runc and crun, those of SEED; what differs is shrunk
	@tests/deps.sh certificates busybox
	@$(GO) build -trimpath -buildvcs=false -o build/differential/differential ./tests/differential
	@build/differential/differential -orlop ./orlop -seed $(SEED) -first $(FIRST) -count $(COUNT) $(if $(CASE),-case '$(CASE)')

differential-guest: build ## the same in the guest, COUNT=300
	@tests/deps.sh certificates busybox
	@tests/vm/build
	@$(GO) build -trimpath -buildvcs=false -o build/differential/differential ./tests/differential
	@cp orlop build/differential/ && rm -rf build/differential/peers && cp -a "$$(tests/peers/stage)" build/differential/peers
	@tests/vm/run -t 7200 build/differential env ORLOP_PEERS=/mnt/share/peers /mnt/share/differential -orlop /mnt/share/orlop -limit 60s -seed $(SEED) -first $(FIRST) -count $(COUNT) $(if $(CASE),-case '$(CASE)')

attacks: $(COMPILER) ## try each attack of docs/threat-model.md ROUNDS (1000) times, to the end
	@tests/deps.sh certificates busybox
	@tests/attacks.sh "$(TAGS)" "$(ROUNDS)" build/attacks.log '$(RUN)'

bench: ## time and memory beside the newest runc and crun, to build/bench (QUICK=1: a quick look)
	@tests/deps.sh certificates busybox hyperfine
	@$(MAKE) --no-print-directory build
	@$(GO) build -trimpath -buildvcs=false -o build/bench/bench ./tests/bench
	@build/bench/bench -orlop ./orlop -out build/bench $(if $(QUICK),-quick) $(BENCHFLAGS)

# What a variable is to be here unless it was given to make.
only_engines = $(if $(filter file,$(origin $(1))),./tests/engines,$($(1)))

engines: $(COMPILER) ## under containerd, CRI, Docker, Podman, Buildah, here and in the guest (RUNTIME=runc, GUEST=, PKGS=)
	@tests/deps.sh certificates busybox ip
	@$(GO) build -trimpath -buildvcs=false -o build/runner ./tests/runner
	@ORLOP_ENGINES_FULL=1 build/runner -tags $(TAGS) -timeout $(TIMEOUT) -run '$(RUN)' -runtime '$(RUNTIME)' \
		-results build/engines/$(or $(notdir $(RUNTIME)),orlop).json -guest '$(call only_engines,GUEST)' $(call only_engines,PKGS)

engines-table: ## the table in docs/engines.md, of what make engines, and make engines RUNTIME=runc, found last
	@$(GO) run ./tests/runner/table -without TestGround,TestContrib docs/engines.md orlop=build/engines/orlop.json runc=build/engines/runc.json

conformance: $(if $(RUNTIME),,build) ## the OCI conformance suite, of orlop or RUNTIME=crun or a path; a report in build/conformance
	@tests/deps.sh certificates $(filter runc crun,$(RUNTIME))
	@cd tests/conformance && $(GO) run . -out $(CURDIR)/build/conformance -name '$(NAME)' \
		-runtime $(if $(RUNTIME),$(if $(findstring /,$(RUNTIME)),$(abspath $(RUNTIME)),$(RUNTIME)),$(CURDIR)/orlop)

fuzz: $(COMPILER) ## run each fuzz target of the tree for FUZZTIME (30s), or those whose names match RUN
	@tests/fuzz.sh "$(TAGS)" "$(FUZZTIME)" '$(RUN)'

release: ## build what is released, for amd64 and arm64, to build/release; its hashes are the same wherever it is built
	@tests/deps.sh certificates gcc libseccomp
	@SECCOMP=$(SECCOMP) contrib/release.sh build/release

lint: $(COMPILER) ## go vet, staticcheck, gofmt, length of functions, import arrows
	$(GO) vet -tags $(TAGS) ./...
	$(GO) test -count=1 -tags $(TAGS) ./tests/style

vulns: $(COMPILER) ## known vulnerabilities of what orlop is made of, by govulncheck; takes its database from vuln.go.dev, or GOVULNDB
	@$(GO) -C tests/tools build -o $(CURDIR)/build/tools/ golang.org/x/vuln/cmd/govulncheck
	@build/tools/govulncheck -tags $(TAGS) ./...

deps: ## install the Debian packages that demo, test and bench use, where missing
	@tests/deps.sh $(TOOLS) hyperfine crun

clean: ## remove what was built
	rm -rf orlop build libcontainer/seccomp/compiler.elf libcontainer/seccomp/compiler.version

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
