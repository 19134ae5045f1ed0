# SPDX-License-Identifier: Apache-2.0
#
# One file, no recursion.  `make help` lists the targets.
#   BUILD=release|debug|asan|fuzz   what to build, below build/$(BUILD)
#   DEVELOPER=1                     warnings are errors
#   ISAL=no                         gzip by zlib, also where ISA-L is there
#   V=1                             show the commands

BUILD ?= release
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
LIBEXECDIR := $(PREFIX)/libexec/sidelift
PKG_CONFIG ?= pkg-config
OBJCOPY ?= objcopy
VERSION := $(shell sed -n 's/^\#define SIDELIFT_VERSION "\(.*\)"/\1/p' include/sidelift.h)
PACKAGES := libarchive libcurl jansson zlib yaml-0.1 libcrypto libmicrohttpd
O := build/$(BUILD)

# Where there is ISA-L, it unpacks gzip.
ifneq ($(ISAL),no)
ISAL_PACKAGE := $(shell $(PKG_CONFIG) --exists libisal 2>/dev/null && echo libisal)
PACKAGES += $(ISAL_PACKAGE)
endif

ifneq ($(filter-out release debug asan fuzz,$(BUILD)),)
$(error BUILD is release, debug, asan or fuzz, not '$(BUILD)')
endif

CPPFLAGS_ALL := -Isrc -Iinclude -I$(O)/gen -D_GNU_SOURCE $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null) \
	$(ISAL_PACKAGE:libisal=-DSL_WITH_ISAL)
CFLAGS ?= -g
CFLAGS_ALL := -std=c17 -pthread -fPIC -fvisibility=hidden -fno-strict-aliasing -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wundef -Wformat=2 -Wvla -Wno-unused-parameter
LDFLAGS_ALL := -pthread
LDLIBS_ALL := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)
ifdef DEVELOPER
CFLAGS_ALL += -Werror
endif
ifeq ($(BUILD),release)
CFLAGS_ALL += -O2
CPPFLAGS_ALL += -D_FORTIFY_SOURCE=2
endif
ifeq ($(BUILD),debug)
CFLAGS_ALL += -O0
endif
ifeq ($(BUILD),asan)
CFLAGS_ALL += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS_ALL += -fsanitize=address,undefined
endif
ifeq ($(BUILD),fuzz)
CC := clang
CFLAGS_ALL += -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LDFLAGS_ALL += -fsanitize=address,undefined
endif

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

LIB_SRC := $(sort $(wildcard $(addprefix src/,$(addsuffix /*.c,base image engine cluster manifest flow))))
CLI_SRC := $(sort $(wildcard src/cli/*.c))
SCRIPTS := $(sort $(wildcard src/*/*.sh))
TEST_SRC := $(sort $(wildcard tests/unit/test_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
HEADERS := $(sort $(wildcard src/*/*.h include/*.h))
LIB_OBJ := $(LIB_SRC:%.c=$(O)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(O)/%.o)
GEN := $(patsubst src/%.sh,$(O)/gen/%.sh.inc,$(SCRIPTS))
TESTS := $(TEST_SRC:tests/unit/%.c=$(O)/tests/%)
FUZZERS := $(FUZZ_SRC:tests/fuzz/%.c=$(O)/fuzz/%)

.PHONY: all
all: $(O)/sidelift $(O)/sidelift-helper $(O)/install/libsidelift.a $(O)/libsidelift.so.0 $(O)/sidelift.pc ## build build/$(BUILD)/sidelift and the library (the default)

# Rebuild when the compiler or its flags change.
FLAGS := $(CC) $(CPPFLAGS_ALL) $(CPPFLAGS) $(CFLAGS_ALL) $(CFLAGS) $(LDFLAGS_ALL) $(LDFLAGS) $(LDLIBS_ALL)
$(O)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS)' | cmp -s - $@ || printf '%s\n' '$(FLAGS)' > $@

$(O)/%.o: %.c $(O)/flags | $(GEN)
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CPPFLAGS) $(CFLAGS_ALL) $(CFLAGS) -MMD -MP -c -o $@ $<

# The scripts that run inside a node, as C string literals.
$(O)/gen/%.sh.inc: src/%.sh
	$(say) GEN $@
	@mkdir -p $(@D)
	$(Q)sed -e '/^[[:blank:]]*#/d' -e '/^$$/d' -e 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $< > $@.tmp && mv $@.tmp $@

$(O)/libsidelift.a: $(LIB_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

# The helper program stands there when it is not beside the program that asks.
$(O)/gen/libexecdir.inc: FORCE
	@mkdir -p $(@D)
	@echo '"$(LIBEXECDIR)"' | cmp -s - $@ || echo '"$(LIBEXECDIR)"' > $@

$(O)/src/engine/store_helper.o: $(O)/gen/libexecdir.inc

# What is installed shows the names of include/sidelift.h and no other: the archive to
# link with, one object of all, and the object for who loads it at run time (Python's
# ctypes, cgo).  There is no libsidelift.so beside it, so -lsidelift means the archive.
$(O)/install/libsidelift.a: $(LIB_OBJ)
	$(say) AR $@
	@mkdir -p $(@D)
	$(Q)$(LD) -r -o $(@D)/sidelift.o $(LIB_OBJ) && $(OBJCOPY) --localize-hidden $(@D)/sidelift.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(@D)/sidelift.o

$(O)/libsidelift.so.0: $(LIB_OBJ)
	$(say) LINK $@
	$(Q)$(CC) -shared -Wl,-soname,libsidelift.so.0 $(CFLAGS_ALL) $(CFLAGS) $(LDFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL) $(LDLIBS)

$(O)/sidelift.pc: scripts/sidelift.pc.in FORCE
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|; s|@PACKAGES@|$(PACKAGES)|' $< > $@.tmp
	@if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi

$(O)/sidelift: $(CLI_OBJ) $(O)/libsidelift.a
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS_ALL) $(CFLAGS) $(LDFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL) $(LDLIBS)

# The program of the helper container stands alone there: static, from the sources
# that it shares with the other, and without sanitizers.
HELPER_SRC := src/helper/store.c src/image/layerdb.c src/image/tarsplit.c $(addprefix src/base/,buf.c error.c file.c)
HELPER_OBJ := $(HELPER_SRC:%.c=$(O)/static/%.o)
HELPER_CFLAGS := -std=c17 -O2 -fno-strict-aliasing

$(O)/static/%.o: %.c $(O)/flags
	$(say) CC "$< (static)"
	@mkdir -p $(@D)
	$(Q)$(CC) -Isrc -Iinclude -D_GNU_SOURCE $(CPPFLAGS) $(HELPER_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/sidelift-helper: $(HELPER_OBJ)
	$(say) LINK $@
	$(Q)$(CC) -static -s -o $@ $^ $(LDFLAGS) -ljansson -lz $(LDLIBS)

$(O)/tests/%: $(O)/tests/unit/%.o $(O)/libsidelift.a
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CFLAGS) $(LDFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL) -lcmocka $(LDLIBS)

$(O)/fuzz/%: $(O)/tests/fuzz/%.o $(O)/libsidelift.a
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(LDLIBS_ALL) $(LDLIBS)

.PHONY: unit-tests
unit-tests: $(TESTS) ## build the unit tests

.PHONY: fuzzers
fuzzers: $(FUZZERS) ## build the fuzz targets (BUILD=fuzz)

.PHONY: check-unit
check-unit: $(TESTS) ## run the unit tests of this BUILD
	@set -e; for t in $(TESTS); do $$t; done

.PHONY: test
test: ## install what is needed and run every test
	@scripts/run-tests.sh

.PHONY: demo
demo: ## build, bring up a throwaway cluster, load, apply, and fetch what was compiled in
	@scripts/demo.sh

.PHONY: bench
bench: ## compare with kind, a registry and a pipe; writes build/bench.{json,md,svg}
	@tests/bench/run.sh

.PHONY: bench-rewrite
bench-rewrite: $(O)/sidelift ## MB/s of rewrite, over manifests of other projects and large made-up ones
	@/usr/bin/python3 tests/integration/helpers/corpus.py fetch && /usr/bin/python3 tests/bench/rewrite.py $(O)/sidelift

.PHONY: deps
deps: ## install what building needs (Debian)
	@scripts/install-deps.sh build

.PHONY: check-headers
check-headers: $(GEN) ## every header compiles alone
	@for h in $(HEADERS); do echo "#include \"$${h#src/}\"" | sed 's#"include/#"#' | \
		$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -Werror -fsyntax-only -x c - || { echo "$$h does not compile alone"; exit 1; }; done

.PHONY: install
install: all ## install to $(DESTDIR)$(PREFIX)
	install -D -m 755 $(O)/sidelift $(DESTDIR)$(PREFIX)/bin/sidelift
	install -D -m 755 $(O)/sidelift-helper $(DESTDIR)$(LIBEXECDIR)/sidelift-helper
	install -D -m 644 include/sidelift.h $(DESTDIR)$(PREFIX)/include/sidelift.h
	install -D -m 644 $(O)/install/libsidelift.a $(DESTDIR)$(LIBDIR)/libsidelift.a
	install -D -m 644 $(O)/libsidelift.so.0 $(DESTDIR)$(LIBDIR)/libsidelift.so.0
	install -D -m 644 $(O)/sidelift.pc $(DESTDIR)$(LIBDIR)/pkgconfig/sidelift.pc
	ln -sf sidelift $(DESTDIR)$(PREFIX)/bin/kubectl-sidelift
	mkdir -p $(DESTDIR)$(PREFIX)/lib/docker/cli-plugins
	ln -sf ../../../bin/sidelift $(DESTDIR)$(PREFIX)/lib/docker/cli-plugins/docker-sidelift
	install -D -m 644 docs/sidelift.1 $(DESTDIR)$(PREFIX)/share/man/man1/sidelift.1
	install -D -m 644 docs/sidelift.3 $(DESTDIR)$(PREFIX)/share/man/man3/sidelift.3
	install -D -m 644 scripts/completion/sidelift.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sidelift
	install -D -m 644 scripts/completion/_sidelift $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sidelift
	install -D -m 644 scripts/completion/sidelift.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sidelift.fish

.PHONY: deb
deb: ## build/sidelift_VERSION_ARCHITECTURE.deb
	@scripts/make-deb.sh

.PHONY: compile_commands.json
compile_commands.json: ## for editors and clang-tidy
	@{ echo '['; sep=; for f in $(LIB_SRC) $(CLI_SRC); do \
		printf '%s{"directory":"%s","file":"%s","command":"%s"}\n' "$$sep" '$(CURDIR)' "$$f" '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c '"$$f"; sep=,; done; echo ']'; } > $@

.PHONY: clean
clean: ## remove build/
	rm -rf build

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' Makefile

.PHONY: FORCE
FORCE:

.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(HELPER_OBJ:.o=.d) $(TEST_SRC:%.c=$(O)/%.d) $(FUZZ_SRC:%.c=$(O)/%.d)
