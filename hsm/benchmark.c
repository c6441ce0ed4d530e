/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hsm/api/page.h"
#include "hsm/api/ring.h"
#include "hsm/arena.h"
#include "hsm/benchmark.h"
#include "hsm/calls.h"
#include "hsm/crypto/aead.h"

enum {
	PAGES_MAX = 256,
	MEASURE_NS = 100000000, /* of each figure */
	HANDLE_CALLS = 256,	/* of one page, in a round */
};

static const uint16_t sizes[] = {1, 16, PAGES_MAX};

struct bench {
	struct calls calls;
	struct arena arena;
};

/* A number of operations of @pages in a row. 0 or -errno. */
typedef int round_fn(struct bench *bench, uint16_t pages);

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/*
 * Runs rounds of each of @nr kinds, which take turns so that what disturbs one disturbs
 * all; @best gets the nanoseconds of the fastest, the one least disturbed.
 */
static int measure(struct bench *bench, round_fn *const rounds[], unsigned nr,
		   uint16_t pages, uint64_t best[])
{
	uint64_t until = now_ns() + (uint64_t)nr * MEASURE_NS;
	int rc = 0;

	for (unsigned i = 0; i < nr; i++)
		best[i] = UINT64_MAX;
	do {
		for (unsigned i = 0; i < nr && !rc; i++) {
			uint64_t start = now_ns(), spent;

			rc = rounds[i](bench, pages);
			spent = now_ns() - start;
			if (spent < best[i])
				best[i] = spent ? spent : 1;
		}
	} while (!rc && now_ns() < until);
	return rc;
}

/* --- engines ---------------------------------------------------------------------- */

static int run_calls(struct bench *bench, uint8_t op, uint16_t pages)
{
	int rc = 0;

	for (unsigned i = 0; i < PAGES_MAX / pages && !rc; i++)
		rc = calls_run(&bench->calls, &bench->arena, op, pages);
	return rc;
}

static int seal_round(struct bench *bench, uint16_t pages)
{
	return run_calls(bench, RING_SEAL, pages);
}

static int open_round(struct bench *bench, uint16_t pages)
{
	return run_calls(bench, RING_OPEN, pages);
}

static double mib_s(uint64_t ns)
{
	return (double)PAGES_MAX * PAGE_DATA_BYTES / (1024 * 1024) / ((double)ns / 1e9);
}

static int print_extents(struct bench *bench)
{
	static round_fn *const rounds[] = {seal_round, open_round};
	uint64_t ns[2];
	int rc = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes) && !rc; i++) {
		rc = measure(bench, rounds, 2, sizes[i], ns);
		if (!rc)
			printf("%s\n   {\"extent_kib\": %d, \"seal_mib_s\": %.1f, "
			       "\"open_mib_s\": %.1f}",
			       i ? "," : "", sizes[i] * PAGE_BYTES / 1024, mib_s(ns[0]),
			       mib_s(ns[1]));
	}
	return rc;
}

static int print_engine(struct bench *bench, const struct aead_engine *engine,
			bool is_default)
{
	int rc = aead_self_test(engine);
	bool available = rc != -ENOTSUP;

	if (rc && available)
		return rc;
	printf("  {\"engine\": \"%s\", \"available\": %s, \"default\": %s, \"extents\": "
	       "[",
	       engine->name, available ? "true" : "false", is_default ? "true" : "false");
	if (available) {
		rc = calls_init(&bench->calls, engine);
		if (!rc)
			rc = print_extents(bench);
		calls_fini(&bench->calls);
	} else {
		rc = 0;
	}
	printf("]}");
	return rc;
}

/* --- handles ---------------------------------------------------------------------- */

static int handle_round(struct bench *bench, uint16_t pages, bool rotating)
{
	int rc = 0;

	for (int i = 0; i < HANDLE_CALLS && !rc; i++) {
		rc = calls_check_handle(&bench->calls);
		if (!rc)
			rc = calls_run(&bench->calls, &bench->arena, RING_SEAL, pages);
		if (!rc && rotating)
			rc = calls_next_handle(&bench->calls);
	}
	return rc;
}

static int kept_round(struct bench *bench, uint16_t pages)
{
	return handle_round(bench, pages, false);
}

static int rotating_round(struct bench *bench, uint16_t pages)
{
	return handle_round(bench, pages, true);
}

static int print_handles(struct bench *bench, const struct aead_engine *engine)
{
	static round_fn *const rounds[] = {kept_round, rotating_round};
	uint64_t ns[2];
	int rc = calls_init(&bench->calls, engine);

	if (!rc)
		rc = measure(bench, rounds, 2, 1, ns);
	if (!rc)
		printf(" \"handles\": {\"extent_kib\": %d, \"kept_ns\": %.1f, "
		       "\"rotating_ns\": "
		       "%.1f}",
		       PAGE_BYTES / 1024, (double)ns[0] / HANDLE_CALLS,
		       (double)ns[1] / HANDLE_CALLS);
	calls_fini(&bench->calls);
	return rc;
}

static int print_all(struct bench *bench, const struct aead_engine *taken)
{
	int rc = 0;

	printf("{\"engines\": [\n");
	for (size_t i = 0; aead_engines[i] && !rc; i++) {
		if (i)
			printf(",\n");
		rc = print_engine(bench, aead_engines[i], aead_engines[i] == taken);
	}
	printf("],\n");
	if (!rc)
		rc = print_handles(bench, taken);
	printf("}\n");
	if (!rc && fflush(stdout))
		rc = -errno;
	return rc;
}

int benchmark_run(void)
{
	const struct aead_engine *taken = aead_select(NULL);
	struct bench bench = {0};
	int rc = -ENOMEM;

	if (!taken) {
		fprintf(stderr, "hsmd: no cipher engine that passes its self-test\n");
		return 1;
	}
	bench.arena.len = calls_arena_len(PAGES_MAX);
	bench.arena.base = aligned_alloc(PAGE_BYTES, bench.arena.len);
	if (bench.arena.base) {
		memset(bench.arena.base, 0, bench.arena.len);
		rc = print_all(&bench, taken);
	}
	free(bench.arena.base);
	if (rc)
		fprintf(stderr, "hsmd: cannot measure (%s)\n", strerror(-rc));
	return rc ? 1 : 0;
}
