# A thin wrapper around Bazel.  `make help` lists the targets; each does its own set-up.
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DESTDIR    ?=

VERSION   := $(shell sed -n 's/^    version = "\(.*\)",$$/\1/p' MODULE.bazel)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))

# Options for every build and test, e.g. BAZEL_FLAGS="--jobs=2 --config=clang".
BAZEL_FLAGS ?=
DEMO_FLAGS  ?=
BENCH_FLAGS ?=
# Time for each fuzz target; the build (fuzz, or fuzz_fast: .bazelrc); further flags of libFuzzer,
# such as FUZZ_FLAGS="-max_len=256 -entropic=0" for many short inputs.
FUZZ_SECONDS ?= 60
FUZZ_CONFIG  ?= fuzz
FUZZ_FLAGS   ?=

# `sudo make install` builds as the owner of the tree: root would build everything again,
# and would leave files behind that the owner cannot remove.
OWNER    := $(shell stat -c %U .)
AS_OWNER := $(if $(filter 0,$(shell id -u)),$(if $(filter $(OWNER),$(SUDO_USER)),sudo -H -u $(OWNER) --))
BAZEL    := $(AS_OWNER) tools/bazel

.DEFAULT_GOAL := all
.PHONY: all build test demo bench install uninstall asan tsan ubsan fuzz lint format clean help \
        setup python-lock

all: build

build: setup ## Builds everything (the default).
	$(BAZEL) build $(BAZEL_FLAGS) //...

test: setup ## Runs all tests: bazel test //...
	$(BAZEL) test $(BAZEL_FLAGS) //...

demo: setup ## Runs the paper's Redis experiment without Mesh, with glibc and with Mesh, and draws it.
	@tools/setup --try demo
	$(BAZEL) run $(BAZEL_FLAGS) //python:redis_compaction -- $(DEMO_FLAGS)

bench: setup ## Runs the benchmark suite on Mesh and other allocators, 10 minutes (BENCH_FLAGS=--quick: 1).
	@tools/setup --try bench
	$(BAZEL) run $(BAZEL_FLAGS) //python:bench -- $(BENCH_FLAGS)

# What `install` puts under DESTDIR, for `uninstall` to remove.
LIB     := $(DESTDIR)$(LIBDIR)
CMAKE   := $(LIB)/cmake/mesh
TOOLS   := $(LIB)/mesh/mesh_tools
FILL_IN := sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
               -e 's|@VERSION@|$(VERSION)|' -e 's|@SOVERSION@|$(SOVERSION)|'

install: setup ## Installs library, header, `mesh` command, man pages, pkg-config and CMake files (PREFIX, DESTDIR).
	$(BAZEL) build $(BAZEL_FLAGS) //src/libmesh:libmesh.so //src/libmesh:libmesh-secure.so //src/libmesh:libmesh.a //src/libmesh:libmesh-api.a //src/libmesh:libmesh-api-dynamic-tls.a //docs:libmesh.7 //docs:mesh.1
	install -d $(LIB)/pkgconfig $(CMAKE)
	for flavour in libmesh libmesh-secure; do \
	    install -m 0755 bazel-bin/src/libmesh/$$flavour.so $(LIB)/$$flavour.so.$(VERSION); \
	    ln -sf $$flavour.so.$(VERSION) $(LIB)/$$flavour.so.$(SOVERSION); \
	    ln -sf $$flavour.so.$(SOVERSION) $(LIB)/$$flavour.so; \
	done
	install -m 0644 bazel-bin/src/libmesh/libmesh.a bazel-bin/src/libmesh/libmesh-api.a \
	    bazel-bin/src/libmesh/libmesh-api-dynamic-tls.a $(LIB)
	install -D -m 0644 src/libmesh/mesh/mesh.h $(DESTDIR)$(INCLUDEDIR)/mesh/mesh.h
	install -m 0644 src/libmesh/mesh/mesh.hpp $(DESTDIR)$(INCLUDEDIR)/mesh/mesh.hpp
	install -D -m 0644 bazel-bin/docs/libmesh.7 $(DESTDIR)$(MANDIR)/man7/libmesh.7
	install -D -m 0644 bazel-bin/docs/mesh.1 $(DESTDIR)$(MANDIR)/man1/mesh.1
	install -d $(TOOLS)/commands $(DESTDIR)$(BINDIR)
	install -m 0644 python/mesh_tools/*.py python/mesh_tools/*.c $(TOOLS)
	install -m 0644 python/mesh_tools/commands/*.py $(TOOLS)/commands
	sed -e "s|@TOOLS_FROM_BIN@|$$(realpath -ms --relative-to=$(BINDIR) $(LIBDIR)/mesh)|" \
	    tools/install/mesh.in > $(DESTDIR)$(BINDIR)/mesh
	chmod 0755 $(DESTDIR)$(BINDIR)/mesh
	$(FILL_IN) tools/install/mesh.pc.in > $(LIB)/pkgconfig/mesh.pc
	$(FILL_IN) -e "s|@INCLUDE_FROM_CMAKE@|$$(realpath -ms --relative-to=$(LIBDIR)/cmake/mesh $(INCLUDEDIR))|" \
	    tools/install/mesh-config.cmake.in > $(CMAKE)/mesh-config.cmake
	$(FILL_IN) tools/install/mesh-config-version.cmake.in > $(CMAKE)/mesh-config-version.cmake
	chmod 0644 $(LIB)/pkgconfig/mesh.pc $(CMAKE)/*.cmake
	$(if $(DESTDIR),,-ldconfig)

uninstall: ## Removes what `install` with the same PREFIX and DESTDIR put there.
	rm -f $(foreach so,libmesh.so libmesh-secure.so,$(LIB)/$(so) $(LIB)/$(so).$(SOVERSION) $(LIB)/$(so).$(VERSION)) \
	    $(LIB)/libmesh.a $(LIB)/libmesh-api.a $(LIB)/libmesh-api-dynamic-tls.a $(DESTDIR)$(INCLUDEDIR)/mesh/mesh.h $(DESTDIR)$(INCLUDEDIR)/mesh/mesh.hpp $(DESTDIR)$(MANDIR)/man7/libmesh.7 \
	    $(LIB)/pkgconfig/mesh.pc $(CMAKE)/mesh-config.cmake $(CMAKE)/mesh-config-version.cmake \
	    $(DESTDIR)$(MANDIR)/man1/mesh.1 $(DESTDIR)$(BINDIR)/mesh
	rm -rf $(TOOLS)
	rmdir --ignore-fail-on-non-empty $(LIB)/mesh $(CMAKE) $(DESTDIR)$(INCLUDEDIR)/mesh 2>/dev/null || true

asan: setup ## Runs the tests with AddressSanitizer and the debug checks.
tsan: setup ## Runs the tests with ThreadSanitizer and the debug checks.
ubsan: setup ## Runs the tests with UndefinedBehaviorSanitizer and the debug checks.
asan tsan ubsan:
	$(BAZEL) test --config=$@ $(BAZEL_FLAGS) //...

fuzz: setup ## Runs the fuzz targets for FUZZ_SECONDS (60) each; FUZZ_CONFIG=fuzz_fast: more inputs.
	@tools/setup clang
	$(AS_OWNER) env BAZEL_FLAGS="$(BAZEL_FLAGS)" FUZZ_FLAGS="$(FUZZ_FLAGS)" \
	    tools/fuzz/run $(FUZZ_SECONDS) $(FUZZ_CONFIG)

lint: setup ## Checks format, C++ (clang-tidy), Python (ruff, mypy), Rust (clippy), layers, house rules.
	@tools/setup lint
	$(BAZEL) run $(BAZEL_FLAGS) //tools/checks:lint

format: setup ## Formats the C++ and Python files in place.
	$(BAZEL) run $(BAZEL_FLAGS) //tools/checks:lint -- --fix --only=clang-format,ruff

clean: ## Removes everything that was built.
	$(BAZEL) clean
	rm -rf rust/target

setup: ## Installs Bazel, GoogleTest and venv support where they are missing (Debian, Ubuntu).
	@tools/setup build

python-lock: ## Pins the newest Python packages that python/requirements.in allows (needs uv).
	uv pip compile --universal --generate-hashes --python-version 3.11 --only-binary :all: --upgrade \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make python-lock" \
	    python/requirements.in -o python/requirements.lock

help: ## Lists the targets.
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile
