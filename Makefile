# SPDX-License-Identifier: Apache-2.0
#
# Variables you may set on the command line:
#   CC=gcc|clang   CFLAGS=...   V=1 (show commands)   BUILD=build (output folder)
#   SANITIZE=address,undefined|thread   WERROR=1   PREFIX=/usr/local   DESTDIR=
#   TESTS="tests/mount/tree.sh ..." (only these, for the check targets)
#   LONG=10 (random operations and database loads of the tests, so many times as long)
#
# `make help` lists the targets.

BUILD    ?= build
PREFIX   ?= /usr/local
CFLAGS   ?= -O2 -g
SANITIZE ?=
WERROR   ?= $(if $(CI),1)
TESTS    ?=
export LONG
ifeq ($(origin CC),default)
CC := gcc
endif

ifeq ($(V),1)
Q :=
say = @:
else ifneq ($(findstring s,$(firstword -$(MAKEFLAGS))),)
Q := @
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

# --- dependencies ---------------------------------------------------------------------
# name in pkg-config : Debian package
PACKAGES := libcrypto:libssl-dev libargon2:libargon2-dev jansson:libjansson-dev \
	    tss2-esys:libtss2-dev tss2-tctildr:libtss2-dev tss2-mu:libtss2-dev \
	    libtpms:libtpms-dev fuse3:libfuse3-dev libseccomp:libseccomp-dev
NEEDED := $(PACKAGES) $(if $(filter bench%,$(MAKECMDGOALS)),liburing:liburing-dev)
pc = $(shell pkg-config $(1) $(2) 2>/dev/null)

DEB_BUILD := gcc libc6-dev make pkg-config fuse3 \
	     $(sort $(foreach p,$(PACKAGES),$(lastword $(subst :, ,$(p)))))
ifeq ($(shell dpkg --print-architecture 2>/dev/null),amd64)
DEB_BUILD += libipsec-mb-dev
endif
DEB_TEST := clang libclang-rt-14-dev libcmocka-dev valgrind cppcheck shellcheck mandoc \
	    clang-format clang-tidy git rsync sqlite3 tar acl attr expect jq procps \
	    util-linux mount e2fsprogs xxd openssl fio vim stress-ng postgresql swtpm swtpm-tools dpkg perl \
	    python3 \
	    xfsprogs btrfs-progs dosfstools exfatprogs exfat-fuse

# These install what is missing and then call make again, or need nothing.
NO_BUILD_GOALS := deps deps-build bench-deps help clean format quickstart check check-asan \
		  check-tsan check-valgrind fuzz lint tidy uninstall
ifneq ($(if $(MAKECMDGOALS),$(filter-out $(NO_BUILD_GOALS),$(MAKECMDGOALS)),all),)
ifneq ($(SKIP_DEPS_CHECK),1)
MISSING := $(foreach p,$(NEEDED),$(shell pkg-config --exists $(firstword $(subst :, ,$(p))) \
	     2>/dev/null || echo $(lastword $(subst :, ,$(p)))))
ifneq ($(strip $(MISSING)),)
$(error missing libraries: install the Debian packages '$(sort $(MISSING))' or run \
	'make deps$(if $(filter bench%,$(MAKECMDGOALS)), bench-deps)')
endif
endif
endif

IPSEC_MB := $(shell echo '\#include <intel-ipsec-mb.h>' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1)

# --- flags ----------------------------------------------------------------------------
WARN := -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wvla
ifneq ($(WERROR),)
WARN += -Werror
endif
ALL_CFLAGS := -std=gnu11 -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 \
	      -pthread -fstack-protector-strong -fPIE $(WARN)
ALL_LDFLAGS := -pthread -pie -Wl,-z,relro,-z,now
ifeq ($(IPSEC_MB),1)
ALL_CFLAGS += -DHAVE_IPSEC_MB
LIB_IPSEC_MB := -lIPSec_MB
endif
ifneq ($(SANITIZE),)
ALL_CFLAGS  += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
ALL_LDFLAGS += -fsanitize=$(SANITIZE)
# The ring's fences are beside atomics that the sanitizer does follow.
ALL_CFLAGS  += $(if $(findstring thread,$(SANITIZE)),$(if $(findstring clang,$(CC)),,-Wno-tsan))
else
ALL_CFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
PC_NAMES := $(sort $(foreach p,$(PACKAGES),$(firstword $(subst :, ,$(p)))))
ALL_CFLAGS += $(call pc,--cflags,$(PC_NAMES)) $(CFLAGS)
ALL_LDFLAGS += $(LDFLAGS)

LIBS_API  := $(call pc,--libs,libcrypto)
# libgcc_s is what pthread_exit() loads, which libargon2's threads call: the sandbox lets
# nothing be loaded later.
LIBS_HSM  := $(call pc,--libs,libcrypto libargon2 tss2-esys tss2-mu libtpms libseccomp) \
	     $(LIB_IPSEC_MB) -Wl,--push-state,--no-as-needed -lgcc_s -Wl,--pop-state
LIBS_FS   := $(call pc,--libs,fuse3 jansson libcrypto)
LIBS_MKFS := $(call pc,--libs,jansson libcrypto)

# --- sources --------------------------------------------------------------------------
SRC_API    := $(wildcard hsm/api/*.c)
SRC_HSM    := $(filter-out hsm/main.c,$(wildcard hsm/*.c hsm/token/*.c hsm/crypto/*.c))
SRC_VOLUME := $(wildcard fs/volume/*.c)
SRC_FS     := $(filter-out fs/main.c,$(wildcard fs/*.c))
SRC_MKFS   := $(filter-out mkfs/main.c,$(wildcard mkfs/*.c))
SRC_UNIT   := $(wildcard tests/unit/*_test.c)
SRC_TOOLS  := $(wildcard tests/tools/*.c)
SRC_FSX    := $(wildcard tests/tools/fsx/*.c)
SRC_BENCH  := $(wildcard bench/*_bench.c)

comma := ,
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
OBJ_ALL := $(call obj,$(SRC_API) $(SRC_HSM) $(SRC_VOLUME) $(SRC_FS) $(SRC_MKFS) $(SRC_UNIT) \
	   $(SRC_TOOLS) $(SRC_FSX) $(SRC_BENCH) bench/passthrough.c bench/null_engine.c \
	   bench/store_way.c bench/null_hsmd.c bench/inprocess.c hsm/main.c fs/main.c mkfs/main.c)
SRC_HSMD := $(SRC_HSM) $(SRC_API) hsm/main.c
LIB := $(BUILD)/lib
BIN := $(BUILD)/bin
PROGRAMS := $(BIN)/hsmd $(BIN)/hsmfs $(BIN)/hsmsetup
LINKS := $(BIN)/mkfs.hsmfs $(BIN)/mount.hsmfs

.PHONY: all
all: $(PROGRAMS) $(LINKS) ## Build hsmd, hsmfs, hsmsetup into $(BUILD)/bin (the default)

# Rebuild everything when the compiler or its flags change.
FLAGS_NOW := $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)
FLAGS_FILE := $(BUILD)/flags
$(shell mkdir -p $(BUILD); [ "`cat $(FLAGS_FILE) 2>/dev/null`" = '$(FLAGS_NOW)' ] || \
	printf '%s\n' '$(FLAGS_NOW)' > $(FLAGS_FILE))

$(BUILD)/obj/%.o: %.c $(FLAGS_FILE)
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

define archive
$(LIB)/$(1): $(call obj,$(2))
	$$(say) AR $$@
	@mkdir -p $$(@D)
	$$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(eval $(call archive,libapi.a,$(SRC_API)))
$(eval $(call archive,libhsm.a,$(SRC_HSM)))
$(eval $(call archive,libvolume.a,$(SRC_VOLUME)))
$(eval $(call archive,libfs.a,$(SRC_FS)))
$(eval $(call archive,libmkfs.a,$(SRC_MKFS)))

link = $(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(ALL_LDFLAGS) $(1)

$(BIN)/hsmd: $(call obj,hsm/main.c) $(LIB)/libhsm.a $(LIB)/libapi.a
	$(say) LD $@
	$(call link,$(LIBS_HSM))
$(BIN)/hsmfs: $(call obj,fs/main.c) $(LIB)/libfs.a $(LIB)/libvolume.a $(LIB)/libapi.a
	$(say) LD $@
	$(call link,$(LIBS_FS))
$(BIN)/hsmsetup: $(call obj,mkfs/main.c) $(LIB)/libmkfs.a $(LIB)/libvolume.a $(LIB)/libapi.a
	$(say) LD $@
	$(call link,$(LIBS_MKFS))
$(LINKS): $(BIN)/hsmsetup
	$(Q)ln -sf hsmsetup $@

# --- tests ----------------------------------------------------------------------------
# Tests that bring stand-ins (tests/unit/*_fixture.h) name what they are linked with
# instead of the libraries above fs/volume.
SRC_NAMESPACE := $(patsubst %,fs/%.c,acl acl_value attr create dirid inode inode_id inode_link link log names namespace \
	place readdir remove rename search sync tmpfile xattr)
UNIT_SRC_namespace_test := $(SRC_NAMESPACE)
UNIT_SRC_fetch_test := fs/fetch.c
UNIT_SRC_crew_test := fs/crew.c
UNIT_SRC_park_test := fs/fuse_park.c fs/park.c
UNIT_SRC_hostile_names_test := $(SRC_NAMESPACE)
UNIT_SRC_readdir_test := $(SRC_NAMESPACE)
UNIT_SRC_rename_test := $(SRC_NAMESPACE)
UNIT_SRC_search_test := $(SRC_NAMESPACE)

# Functions that a test puts its own before: the backing store's system calls, which it has
# fail or records, or between which others work, and the state directory's; a yield, which
# it counts; one of ours that it breaks on purpose; what the HSM answers; how much memory
# there is; how long a passphrase takes; what the embedded TPM answers; whether an engine can
# be used; how large a memfd's pages are said to be.
WRAP_STORE := pread64 pwrite64 ftruncate64 fallocate64 fdatasync fsync
UNIT_WRAP_fault_test := $(WRAP_STORE)
UNIT_WRAP_crash_test := $(WRAP_STORE)
UNIT_WRAP_opening_test := $(WRAP_STORE)
UNIT_WRAP_namespace_test := fstatat64
UNIT_WRAP_audit_test := linkat renameat
UNIT_WRAP_engine_test := queue_reap crew_take_part crew_stand
UNIT_WRAP_session_test := service_wipe
UNIT_WRAP_ring_memory_test := fstat64
UNIT_WRAP_kdf_test := sysconf argon2id_hash_raw
UNIT_WRAP_ring_test := sched_yield
UNIT_WRAP_lease_test := kdf_passphrase
UNIT_WRAP_token_test := TPMLIB_Process
UNIT_WRAP_benchmark_test := aead_self_test

UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(SRC_UNIT))
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tools/%,$(SRC_TOOLS))
BENCH := $(patsubst bench/%.c,$(BUILD)/bench/%,$(SRC_BENCH))
LIBS_UPPER := $(LIB)/libfs.a $(LIB)/libmkfs.a $(LIB)/libhsm.a
unit_inputs = $(or $(call obj,$(UNIT_SRC_$(1))),$(LIBS_UPPER)) $(LIB)/libvolume.a $(LIB)/libapi.a

.SECONDARY:
.SECONDEXPANSION:
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $$(call unit_inputs,$$*)
	$(say) LD $@
	$(call link,$(LIBS_HSM) $(LIBS_FS) $(call pc,--libs,cmocka tss2-tctildr) \
		$(addprefix -Wl$(comma)--wrap=,$(UNIT_WRAP_$*)))
$(BUILD)/tools/%: $(BUILD)/obj/tests/tools/%.o $(LIB)/libvolume.a $(LIB)/libapi.a
	$(say) LD $@
	$(call link,$(LIBS_MKFS))
$(BUILD)/tools/fsx: $(call obj,$(SRC_FSX))
$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(call obj,bench/null_engine.c) $(LIBS_UPPER) $(LIB)/libvolume.a $(LIB)/libapi.a
	$(say) LD $@
	$(call link,$(LIBS_HSM) $(LIBS_FS) $(BENCH_LIBS_$*))
$(BUILD)/bench/store_bench: $(call obj,bench/store_way.c)
BENCH_LIBS_store_bench = $(call pc,--libs,liburing)

# What encryption costs: hsmd without it; and what isolation does: hsmfs with the HSM's code
# inside. Each with its companions beside it.
NULL := $(BUILD)/bench/null
INPROCESS := $(BUILD)/bench/inprocess
WRAP_SELECT := -Wl,--wrap=aead_select
$(NULL)/hsmd: $(call obj,hsm/main.c bench/null_hsmd.c bench/null_engine.c) $(LIB)/libhsm.a \
		$(LIB)/libapi.a
	$(say) LD $@
	$(call link,$(LIBS_HSM) $(WRAP_SELECT))
$(INPROCESS)/hsmfs: $(call obj,fs/main.c bench/inprocess.c) $(LIB)/libfs.a $(LIB)/libhsm.a \
		$(LIB)/libvolume.a $(LIB)/libapi.a
	$(say) LD $@
	$(call link,$(LIBS_FS) $(LIBS_HSM))
VARIANTS := $(NULL)/hsmd $(INPROCESS)/hsmfs
COMPANIONS := $(addprefix $(NULL)/,hsmfs hsmsetup) $(addprefix $(INPROCESS)/,hsmd hsmsetup)
$(COMPANIONS): $$(BIN)/$$(@F)
	@mkdir -p $(@D)
	$(Q)cp $< $@

# hsmd with a hook that tells its keys to a test (hsm/hooks.c), and its companions beside it.
HOOKED := $(BUILD)/test
$(BUILD)/obj-hooks/%.o: %.c $(FLAGS_FILE)
	$(say) CC "$< (hooks)"
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DHSM_TEST_HOOKS -MMD -MP -c $< -o $@
$(HOOKED)/hsmd: $(patsubst %.c,$(BUILD)/obj-hooks/%.o,$(SRC_HSMD))
	$(say) LD $@
	$(call link,$(LIBS_HSM))
$(HOOKED)/hsmfs $(HOOKED)/hsmsetup: $(HOOKED)/%: $(BIN)/%
	@mkdir -p $(@D)
	$(Q)cp $< $@

PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: unit test-programs other-compiler deps deps-build check check-run check-asan check-tsan \
	check-valgrind bench
unit: $(UNIT) ## Build the unit tests

test-programs: all $(UNIT) $(TOOLS) $(HOOKED)/hsmd $(HOOKED)/hsmfs $(HOOKED)/hsmsetup

# Volumes must not depend on the compiler.
other-compiler:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/other CC=$(if $(findstring clang,$(CC)),gcc,clang) all

deps: ## Install everything needed to build and test (apt; sudo if you are not root)
	@sh tests/lib/deps.sh $(DEB_BUILD) $(DEB_TEST)
deps-build: ## Install only what building and mounting need
	@sh tests/lib/deps.sh $(DEB_BUILD)

check: deps ## Install what is missing, build, run every test
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) check-run

check-run: test-programs other-compiler
	$(Q)tests/run $(BUILD) $(TESTS)

check-asan: deps ## The tests under AddressSanitizer and UBSan
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/asan SANITIZE=address,undefined \
		CFLAGS="-O1 -g" test-programs
	$(Q)tests/run $(BUILD)/asan $(TESTS)

check-tsan: deps ## The unit and mount tests under ThreadSanitizer
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS="-O1 -g" \
		test-programs
	$(Q)tests/run $(BUILD)/tsan $(TESTS)

check-valgrind: deps ## The unit tests under valgrind
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) unit $(BUILD)/tools/supervise
	$(Q)tests/run --valgrind $(BUILD) $(TESTS)

# libFuzzer on what hsmd reads of its clients: FUZZ_RUNS each, beginning with the corpus.
FUZZ_RUNS ?= 50000
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
.PHONY: fuzz fuzz-programs
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(LIB)/libhsm.a $(LIB)/libapi.a
	$(say) LD $@
	$(call link,-fsanitize=fuzzer $(LIBS_HSM))
fuzz-programs: $(FUZZ)
fuzz: deps ## libFuzzer on control messages and descriptors (FUZZ_RUNS=50000)
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzzing CC=clang CFLAGS="-O2 -g" \
		SANITIZE=fuzzer-no-link,address,undefined fuzz-programs
	$(Q)tests/fuzz/run $(BUILD)/fuzzing/fuzz $(FUZZ_RUNS)

DEB_BENCH := liburing-dev fio gnuplot-nox python3 sqlite3 git tar gocryptfs securefs encfs cryfs
BENCH_RUNS := $(filter-out %/store_bench,$(BENCH)) "$(BIN)/hsmd --benchmark" \
	      "$(BUILD)/bench/store_bench /dev/shm $(BUILD)"
.PHONY: bench-deps bench-full bench-isolation bench-scale bench-programs
bench-programs: all $(BENCH) $(BUILD)/bench/passthrough $(VARIANTS) $(COMPANIONS)
bench-deps: ## Install what the benchmarks need, and the file systems to compare with
	@sh tests/lib/deps.sh $(DEB_BENCH)
bench: bench-programs ## Compare with a FUSE passthrough and gocryptfs (3 minutes)
	@bench/run --build $(BUILD)
bench-isolation: bench-programs ## What encryption and isolation cost each workload (3 minutes)
	@bench/run --build $(BUILD) --fs passthrough,hsmfs,hsmfs-null,hsmfs-inprocess \
		--results $(BUILD)/bench/results-isolation
bench-scale: bench-programs ## How cost grows: clients, file sizes, directories, trees (25 minutes)
	@rc=0; bench/run --build $(BUILD) --scale --fs passthrough,hsmfs \
		--results $(BUILD)/bench/results-scale || rc=1; \
	bench/run --build $(BUILD) --scale --only files --rounds 1 --backing $(BUILD) \
		--fs passthrough,hsmfs --results $(BUILD)/bench/results-scale-disk || rc=1; \
	exit $$rc
bench-full: bench-programs ## All workloads on all file systems, tmpfs and disk; ring, ciphers, I/O (28 minutes)
	@rc=0; for b in $(BENCH_RUNS); do echo "== $$b"; $$b || rc=1; done; \
	bench/run --build $(BUILD) --full --results $(BUILD)/bench/results-tmpfs || rc=1; \
	bench/run --build $(BUILD) --full --backing $(BUILD) --results $(BUILD)/bench/results-disk || rc=1; \
	exit $$rc

# --- the source text ------------------------------------------------------------------
C_FILES = $(shell find bench fs hsm mkfs tests -name '*.[ch]' | sort)
SH_FILES = .ci/run tests/run $(shell find mkfs tests -name '*.sh' | sort)
MAN_PAGES = $(shell find fs hsm mkfs -name '*.[1-8]' | sort)

.PHONY: lint format tidy
lint: deps ## Borders between folders, format, function length, cppcheck, man pages, shell
	@tests/lint/includes.sh
	@tests/lint/functions.sh $(C_FILES)
	@clang-format --dry-run -Werror $(C_FILES)
	@cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance --std=c11 \
		--inline-suppr --suppress=missingIncludeSystem --suppress=unusedStructMember \
		--suppress=ctuuninitvar \
		-I. -D_GNU_SOURCE -DHAVE_IPSEC_MB bench fs hsm mkfs tests/tools
	@[ -z "$(MAN_PAGES)" ] || mandoc -T lint -W warning $(MAN_PAGES)
	@shellcheck -x $(SH_FILES)
	@echo "lint: clean"

format: ## Rewrite all C files in the project's format
	clang-format -i $(C_FILES)

tidy: deps bench-deps ## clang-tidy over all C files (.clang-tidy says which checks)
	@clang-tidy --quiet $(filter %.c,$(C_FILES)) -- \
		-std=gnu11 $(filter -I% -D%,$(ALL_CFLAGS))

# --- installing -----------------------------------------------------------------------
INSTALLED = $(patsubst %,$(PREFIX)/bin/%,hsmd hsmfs hsmsetup) \
	    $(patsubst %,$(PREFIX)/sbin/%,mkfs.hsmfs mount.hsmfs) \
	    $(foreach m,$(MAN_PAGES),$(PREFIX)/share/man/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))

.PHONY: install uninstall clean help quickstart
# Programs that can be read can be traced until they forbid it themselves: these cannot.
install: all ## Install below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin
	install -m 711 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	ln -sf ../bin/hsmsetup $(DESTDIR)$(PREFIX)/sbin/mkfs.hsmfs
	ln -sf ../bin/hsmsetup $(DESTDIR)$(PREFIX)/sbin/mount.hsmfs
	for m in $(MAN_PAGES); do \
		install -D -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/} || exit 1; \
	done

uninstall: ## Remove what install put there
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))

quickstart: deps-build ## Install what is missing, build, and show an encrypted directory
	$(Q)$(MAKE) --no-print-directory all
	@sh mkfs/quickstart.sh $(BIN)

clean: ## Remove $(BUILD)
	rm -rf $(BUILD)

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | \
		sed -e 's|$$(BUILD)|$(BUILD)|; s|$$(DESTDIR)$$(PREFIX)|$(DESTDIR)$(PREFIX)|' | \
		while IFS='	' read -r t text; do printf '  %-15s %s\n' "$$t" "$$text"; done

-include $(OBJ_ALL:.o=.d) $(patsubst %.c,$(BUILD)/obj-hooks/%.d,$(SRC_HSMD))
