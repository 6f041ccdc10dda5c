# make            build/lunadns and build/liblunadns.so
# make run        installs what is missing, builds, serves examples/Corefile on port 1053
# make test       installs what is missing, builds, passes every test
# make test-kubernetes   the kubernetes plugin against a real kube-apiserver, built from Go modules: needs Go, minutes
# make image      the container image, with a Docker engine or one of its own: lunadns:VERSION, build/image.tar
# make test-image the image as a cluster's DNS pod: needs root, a Docker engine's packages and Go
# make lint       clang-format, luacheck, and types if there is a checker (spec/types)
# make sanitize   units, fuzz seeds and whole-server tests under ASan+UBSan and TSan
# make fuzz       each fuzz target for SECONDS (default 30)
# make bench      the table of figures
# make docs       plugins/REFERENCE.md from the plugins' options
# make install    binary, library and Lua files below PREFIX (default /usr/local)

BUILD ?= build
PREFIX ?= /usr/local
CC ?= gcc
CFLAGS ?= -O2 -g
SANITIZE ?=
WARN = -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Werror
PACKAGES = luajit libuv ldns openssl libmicrohttpd liburcu-qsbr libpcre2-8 libcurl yaml-0.1 zlib
VERSION = $(shell sed -n 's/^\#define LUNA_VERSION "\(.*\)"/\1/p' src/server/version.c)

ALL_CFLAGS = -std=gnu11 -fPIC -fvisibility=hidden $(WARN) $(CFLAGS) $(SANITIZE) $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIBS = -Wl,--no-as-needed $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lpthread -lm

SOURCES = $(filter-out src/main.c,$(wildcard src/*.c src/*/*.c))
OBJECTS = $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/embedded.o
LUA = $(sort $(wildcard lua/*.lua lua/*/*.lua lua/*/*/*.lua plugins/*.lua plugins/*/*.lua))
UNITS_OF_RUN ?= test_*
UNITS = $(patsubst spec/unit/%.c,$(BUILD)/unit/%,$(wildcard spec/unit/test_*.c))
FUZZERS = $(patsubst spec/fuzz/fuzz_%.c,%,$(wildcard spec/fuzz/fuzz_*.c))

.PHONY: all run test test-kubernetes image test-image deps lint format units fuzz-seeds fuzz sanitize sanitize-address sanitize-thread bench docs install clean
all: $(BUILD)/lunadns $(BUILD)/liblunadns.so

$(BUILD)/core.cdef: src/core.h src/declare.lua
	@mkdir -p $(BUILD)
	@luajit src/declare.lua $< $@

$(BUILD)/embedded.c: src/embed.lua $(LUA) $(BUILD)/core.cdef
	@luajit src/embed.lua $@ $(BUILD)/core.cdef $(LUA)

$(BUILD)/embedded.o: $(BUILD)/embedded.c src/server/embedded.h
	@$(CC) $(ALL_CFLAGS) -Isrc/server -c -o $@ $<

$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/liblunadns.so: $(OBJECTS)
	@echo "  LD $@"
	@$(CC) $(ALL_CFLAGS) -shared -o $@ $^ $(LIBS)

# The functions of core.h are looked up by name at run time: all of them stay in the binary.
$(BUILD)/lunadns: $(BUILD)/src/main.o $(OBJECTS)
	@echo "  LD $@"
	@$(CC) $(ALL_CFLAGS) -rdynamic -o $@ $^ $(LIBS)

-include $(shell find $(BUILD)/src $(BUILD)/unit -name '*.d' 2>/dev/null)

deps:
	@sh docker/deps

run: deps
	@$(MAKE) --no-print-directory all
	@sh examples/run $(BUILD)/lunadns

test: deps
	@$(MAKE) --no-print-directory all
	@sh spec/run-all

test-kubernetes: deps
	@sh docker/deps kubernetes
	@$(MAKE) --no-print-directory all
	@LUNADNS=$(BUILD)/lunadns spec/kubernetes/run

IMAGE ?= lunadns:$(VERSION)

image:
	@sh docker/deps image
	@docker/engine docker/image $(IMAGE) $(VERSION) $(BUILD)/image.tar

test-image: image
	@IMAGE=$(IMAGE) spec/image/run $(BUILD)/image.tar

# A unit may bring its own version of a function of the core (a slab that grows, a wake that counts): the first definition wins.
UNIT_LIBS = -Wl,-z,muldefs $(LIBS)

units: $(UNITS)

$(BUILD)/unit/%: spec/unit/%.c $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) -std=gnu11 $(CFLAGS) $(SANITIZE) -Isrc -Ispec/unit $(shell pkg-config --cflags $(PACKAGES)) -MMD -MP -o $@ $< $(OBJECTS) -lcmocka $(UNIT_LIBS)

# The real watch with a store that writes down what it is told, for the whole-server tests.
$(BUILD)/kube-watcher: spec/kubernetes/watcher.c $(OBJECTS)
	@echo "  CC $<"
	@$(CC) -std=gnu11 $(CFLAGS) $(SANITIZE) $(shell pkg-config --cflags $(PACKAGES)) -o $@ $^ $(UNIT_LIBS)

# Measurements of one part, without a server.
$(BUILD)/bench/%: spec/bench/%.c $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) -std=gnu11 $(CFLAGS) $(SANITIZE) -Isrc -Ispec/unit $(shell pkg-config --cflags $(PACKAGES)) -o $@ $< $(OBJECTS) $(UNIT_LIBS)

$(BUILD)/fuzz/replay-%: spec/fuzz/fuzz_%.c spec/fuzz/replay.c $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) -std=gnu11 $(CFLAGS) $(SANITIZE) -DLUNA_FUZZ_REPLAY -Isrc $(shell pkg-config --cflags $(PACKAGES)) -o $@ $^ $(UNIT_LIBS)

fuzz-seeds: $(FUZZERS:%=$(BUILD)/fuzz/replay-%)

# The same tests on instrumented builds; the figures they check mean nothing there, so time limits are wider.
sanitize: sanitize-address sanitize-thread

sanitize-address:
	@$(MAKE) --no-print-directory BUILD=build/address CFLAGS="-O1 -g" \
	  SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" tested

# Under TSan only units that have threads of the product's own; the others' helper threads are not written for it.
sanitize-thread:
	@$(MAKE) --no-print-directory BUILD=build/thread CFLAGS="-O1 -g" SANITIZE="-fsanitize=thread" \
	  UNITS_OF_RUN="test_cache_threads test_clients test_hosts_reload test_kube_store test_log test_metrics test_shared_*" tested

tested: all units
	@LUNADNS_TIME_SCALE=4 TSAN_OPTIONS="suppressions=$(CURDIR)/spec/thread.suppressions" \
	  BUILD=$(BUILD) UNITS="$(UNITS_OF_RUN)" ONLY="units seeds server" sh spec/run-all

# Coverage-guided, with clang: SECONDS each, new inputs in build/fuzz/NAME.
SECONDS ?= 30
fuzz:
	@$(MAKE) --no-print-directory CC=clang BUILD=build/fuzzers CFLAGS="-O1 -g" \
	  SANITIZE="-fsanitize=fuzzer-no-link,address,undefined" fuzz-binaries
	@for name in $(FUZZERS); do mkdir -p build/fuzz/$$name; \
	  build/fuzzers/fuzz/$$name -max_total_time=$(SECONDS) build/fuzz/$$name spec/fuzz/seeds/$$name || exit 1; done

fuzz-binaries: $(FUZZERS:%=$(BUILD)/fuzz/%)
$(BUILD)/fuzz/%: spec/fuzz/fuzz_%.c $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(CFLAGS) -fsanitize=fuzzer,address,undefined -Isrc $(shell pkg-config --cflags $(PACKAGES)) -o $@ $^ $(UNIT_LIBS)

lint:
	@clang-format --dry-run --Werror $(wildcard src/*.[ch] src/*/*.[ch] spec/*/*.[ch])
	@luacheck -q lua plugins spec examples
	@spec/types

format:
	clang-format -i $(wildcard src/*.[ch] src/*/*.[ch] spec/*/*.[ch])

bench: all
	spec/bench/run

docs: all
	@cd plugins && $(abspath $(BUILD))/lunadns docs > REFERENCE.md

# The binary alone serves and runs `lunadns test`. Plain busted and editors read the library and the Lua files.
install: all
	install -D $(BUILD)/lunadns $(DESTDIR)$(PREFIX)/bin/lunadns
	install -D -m 644 $(BUILD)/liblunadns.so $(DESTDIR)$(PREFIX)/lib/liblunadns.so
	cd lua && find . -name '*.lua' -exec install -D -m 644 {} $(abspath $(DESTDIR)$(PREFIX))/share/lunadns/{} \;

clean:
	rm -rf $(BUILD)
