# velostream: a standard PGXS build.
#
#	make && make install && make installcheck
#
# installcheck wants a running server with
# shared_preload_libraries = 'velostream' (test/velostream.conf); its TAP
# tests start servers of their own.  ./dev does all of this in a private
# installation.

MODULE_big = velostream
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
EXTENSION = velostream
DATA = $(sort $(wildcard sql/velostream--*.sql))
PGFILEDESC = "velostream - continuous queries over live tables"

PG_CPPFLAGS = -I$(srcdir)/src
override PG_CFLAGS += -MMD -MP
override SHLIB_LINK += -Wl,--version-script=$(srcdir)/src/velostream.map
EXTRA_CLEAN = $(OBJS:.o=.d) test/isolation/output

# The first makes what the others use; those may run in any selection and order.
REGRESS = setup $(filter-out setup velostream--%,$(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS = --temp-config=$(srcdir)/test/velostream.conf --load-extension=velostream
# Here the last undoes what the first has set.
ISOLATION = setup $(filter-out setup teardown,$(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))) teardown
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation --outputdir=test/isolation/output \
	--temp-config=$(srcdir)/test/velostream.conf --load-extension=velostream
TAP_TESTS = 1
PROVE_TESTS ?= test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)

# Where PostgreSQL was built with LLVM but its clang is not installed here,
# build without bitcode: it only serves inlining by the JIT compiler.
pgxs_setting = $(shell sed -n 's/^$(1) *= *//p' '$(dir $(PGXS))../Makefile.global')
ifeq ($(shell command -v $(call pgxs_setting,CLANG)),)
override with_llvm := no
endif
ifeq ($(shell command -v $(call pgxs_setting,LLVM_BINPATH)/llvm-lto),)
override with_llvm := no
endif

include $(PGXS)

PG_PROVE_FLAGS += -I $(srcdir)/test/perl

# What the compiler noted about headers; bitcode has no such notes.
-include $(OBJS:.o=.d)
$(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h)
velostream$(DLSUFFIX): src/velostream.map
