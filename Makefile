# What can be made here; plain `make` lists it. PREFIX is where `make install` puts nplconf on a node.
PREFIX ?= /opt/nplconf
BINDIR ?= /usr/local/bin
ARGS ?=
# Half of the time of a test is waiting, so that `make test` has five workers for two processors.
WORKERS ?= $(shell echo $$(( ($$(nproc) * 5 + 1) / 2 )))
SHARE = $(dir $(BINDIR:/=))share
bash = $(SHARE)/bash-completion/completions/nplconf
zsh = $(SHARE)/zsh/site-functions/_nplconf
fish = $(SHARE)/fish/vendor_completions.d/nplconf.fish
COMPLETIONS = $(bash) $(zsh) $(fish)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast soak bench loadbalancers image packages lint format install uninstall

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the whole story in a minute, in network namespaces of its own (root)
	@.ci/setup demo $(ARGS)
	@.venv/bin/nplconf demo $(ARGS)

test: ## every test, also those on a real kernel and a real systemd (root); ARGS="-k name" for some
	@[ "$$(id -u)" = 0 ] || { echo "make test: the tests make network namespaces and boot systemd: run it as root" >&2; exit 77; }
	@.ci/setup test
	@.venv/bin/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(ARGS)

test-fast: ## the tests that need neither root nor a kernel of their own, with fewer random examples, in less than a minute
	@.ci/setup fast
	@.venv/bin/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --hypothesis-profile fast -q -m "not (kernel or api or systemd or cluster or browser or last)" $(ARGS)

soak: ## 1,000 runs with tenants at random, judged after each (root); ARGS="--runs 100 --watch"
	@[ "$$(id -u)" = 0 ] || { echo "make soak: it makes network namespaces: run it as root" >&2; exit 77; }
	@.ci/setup test
	@PYTHONPATH=tests .venv/bin/python -m soak $(ARGS)

bench: ## every figure that nplconf is held to, measured side by side (root); ARGS="--json FILE", "--only many"
	@[ "$$(id -u)" = 0 ] || { echo "make bench: it makes network namespaces: run it as root" >&2; exit 77; }
	@.ci/setup test
	@PYTHONPATH=tests .venv/bin/python -m bench $(ARGS)

loadbalancers: ## what is lost in each event and mode behind AKO, F5 (ARGS="--models": these alone), HAProxy, nginx (root)
	@[ "$$(id -u)" = 0 ] || [ "$(findstring --models,$(ARGS))" ] || { echo "make loadbalancers: it makes network namespaces: run it as root, or with ARGS=--models" >&2; exit 77; }
	@.ci/setup $(if $(findstring --models,$(ARGS)),fast,test)
	@PYTHONPATH=tests .venv/bin/python -m loadbalancers $(ARGS)

image: ## dist/nplconf-image.tar, an OCI archive for containerd, podman and skopeo; no registry is needed
	@.ci/setup fast
	@.venv/bin/python .ci/image.py fetch .cache/image
	@.venv/bin/python .ci/image.py wheel .cache/image
	@.venv/bin/python .ci/image.py write .cache/image dist/nplconf-image.tar

lint: ## ruff, mypy and the layers
	@.ci/setup lint
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

format: ## puts the code into shape
	@.ci/setup lint
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

packages: ## dist/*.deb and dist/*.rpm; ARGS="deb" for one of them, RELEASE=2 for another build of the same version
	@.ci/setup packages $(ARGS)
	@.ci/packages/build $(ARGS)

install: ## nplconf in PREFIX and its units, on this node (root); start them with: nplconf install-units --now
	@[ "$$(id -u)" = 0 ] || { echo "make install: run it as root" >&2; exit 77; }
	PREFIX=$(PREFIX) .ci/setup node
	mkdir -p $(BINDIR)
	ln -sf $(PREFIX)/bin/nplconf $(BINDIR)/nplconf
	$(BINDIR)/nplconf install-units
	umask 022; $(BINDIR)/nplconf help --man-pages $(SHARE)/man/man1
	umask 022; mkdir -p $(dir $(COMPLETIONS)); $(foreach shell,bash zsh fish,$(BINDIR)/nplconf completion $(shell) > $($(shell)) &&) true

uninstall: ## removes rules, annotations, units and PREFIX from this node (root); PURGE=1: configuration and state, too
	@[ "$$(id -u)" = 0 ] || { echo "make uninstall: run it as root" >&2; exit 77; }
	[ ! -x $(BINDIR)/nplconf ] || $(BINDIR)/nplconf uninstall-units $(if $(PURGE),--purge)
	rm -f $(BINDIR)/nplconf
	rm -rf $(PREFIX)
	rm -f $(SHARE)/man/man1/nplconf.1 $(SHARE)/man/man1/nplconf-*.1 $(COMPLETIONS)
	@for path in /etc/nplconf /var/lib/nplconf; do [ ! -e $$path ] || echo "kept: $$path (to remove it: rm -r $$path)"; done
	@echo "kept: the packages iptables, iproute2 and conntrack"
