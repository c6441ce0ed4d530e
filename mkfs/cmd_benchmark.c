/* SPDX-License-Identifier: Apache-2.0 */
/*
 * benchmark: what each engine does, what passphrase stretching costs and what goes
 * through the ring, as cryptsetup's benchmark does for its own. Uses a volume key that no
 * volume has.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "hsm/api/client.h"
#include "mkfs/cmd.h"
#include "mkfs/engines.h"
#include "mkfs/options.h"
#include "mkfs/ringload.h"
#include "mkfs/say.h"

enum {
	KDF_MS = 2000, /* luksFormat's */
	MAX_WORKERS = 8,
	NR_ROUNDS = 5,
	ROUND_BYTES = 32 * 1024 * 1024, /* of each worker */
	ROUND_OPS_MAX = 4000,
	PAGES_MAX = 256,
	DEPTH_MAX = 8,
};

struct target {
	struct hsm_client *owner, *user;
	struct queue queues[MAX_WORKERS];
	unsigned nr_queues;
};

struct worker {
	struct ringload load;
	uint32_t nr_ops;
	int rc;
	pthread_t thread;
};

struct result {
	uint16_t pages;
	unsigned depth, workers;
	double mib_s[2]; /* RING_SEAL, RING_OPEN */
};

/* --- the HSM --------------------------------------------------------------------- */

static int connect_twice(struct target *target)
{
	struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL};
	uint8_t uuid[KEYSLOT_UUID_BYTES], ticket[WIRE_TICKET_BYTES];
	struct wire_redeem_reply volume;
	char why[512] = "";
	int rc = hsm_connect(1, &target->owner, why, sizeof(why));

	if (!rc && getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
		rc = -EIO;
	if (!rc)
		rc = hsm_create(target->owner, uuid);
	if (!rc)
		rc = hsm_ticket(target->owner, &want, ticket);
	if (!rc)
		rc = hsm_connect(0, &target->user, why, sizeof(why));
	if (!rc)
		rc = hsm_redeem(target->user, ticket, &volume);
	if (rc)
		say_error(EXIT_INVALID, "Cannot use the HSM: %s.",
			  why[0] ? why : strerror(-rc));
	return rc;
}

/* One ring for each processor, as hsmfs would have at most. */
static int attach_rings(struct target *target)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned wanted = cpus < 1	       ? 1
			  : cpus > MAX_WORKERS ? MAX_WORKERS
					       : (unsigned)cpus;
	int rc = 0;

	while (!rc && target->nr_queues < wanted) {
		struct queue *queue = &target->queues[target->nr_queues];

		rc = queue_init(queue, ringload_arena_len(PAGES_MAX, DEPTH_MAX));
		if (rc)
			break;
		target->nr_queues++;
		rc = queue_attach(queue, target->user);
	}
	if (rc)
		say_error(EXIT_INVALID, "Cannot attach a ring to the HSM: %s.",
			  strerror(-rc));
	return rc;
}

static void target_fini(struct target *target)
{
	for (unsigned i = 0; i < target->nr_queues; i++)
		queue_fini(&target->queues[i]);
	hsm_disconnect(target->user);
	hsm_disconnect(target->owner);
}

/* --- measuring ------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	double seconds;

	worker->rc = ringload_run(&worker->load, worker->nr_ops, &seconds);
	return NULL;
}

/* Seconds that @nr workers need, together, for the same work each. */
static int run_round(struct worker *workers, unsigned nr, double *seconds)
{
	unsigned started = 0;
	int rc = 0;

	for (unsigned i = 0; i < nr && !rc; i++)
		rc = ringload_prepare(&workers[i].load);
	*seconds = now_s();
	while (started < nr && !rc) {
		struct worker *worker = &workers[started];

		rc = -pthread_create(&worker->thread, NULL, work, worker);
		started += !rc;
	}
	for (unsigned i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		rc = rc ? rc : workers[i].rc;
	}
	*seconds = now_s() - *seconds;
	return rc;
}

/* The median of what several rounds took. */
static int run_rounds(struct target *target, const struct result *result, uint8_t op,
		      uint32_t nr_ops, double *seconds)
{
	struct worker workers[MAX_WORKERS];
	double rounds[NR_ROUNDS];
	int rc = 0;

	for (unsigned i = 0; i < result->workers; i++)
		workers[i] = (struct worker){
			.load = {&target->queues[i], op, result->pages, result->depth},
			.nr_ops = nr_ops};
	for (int i = 0; i < NR_ROUNDS && !rc; i++)
		rc = run_round(workers, result->workers, &rounds[i]);
	if (rc) {
		say_error(EXIT_INVALID, "The HSM failed: %s.", strerror(-rc));
		return rc;
	}
	qsort(rounds, NR_ROUNDS, sizeof(double), compare_doubles);
	*seconds = rounds[NR_ROUNDS / 2];
	return 0;
}

static int measure(struct target *target, struct result *result)
{
	static const uint8_t ops[2] = {RING_SEAL, RING_OPEN};
	uint32_t nr_ops = ROUND_BYTES / (result->pages * PAGE_BYTES);
	double seconds, mib;
	int rc = 0;

	if (nr_ops > ROUND_OPS_MAX)
		nr_ops = ROUND_OPS_MAX;
	mib = (double)result->workers * nr_ops * result->pages * PAGE_DATA_BYTES /
	      (1024 * 1024);
	for (int i = 0; i < 2 && !rc; i++) {
		rc = run_rounds(target, result, ops[i], nr_ops, &seconds);
		result->mib_s[i] = rc ? 0 : mib / seconds;
	}
	return rc;
}

/* --- saying ---------------------------------------------------------------------- */

static int add_ring(const struct result *result, json_t *rings)
{
	if (!rings) {
		printf("%9u %9u %9u %10.1f MiB/s %10.1f MiB/s\n", result->pages * 4u,
		       result->depth, result->workers, result->mib_s[0],
		       result->mib_s[1]);
		fflush(stdout);
		return 0;
	}
	return json_array_append_new(
		rings, json_pack("{s:i, s:i, s:i, s:f, s:f}", "extent_kib",
				 result->pages * 4, "depth", (int)result->depth,
				 "workers", (int)result->workers, "seal_mib_s",
				 result->mib_s[0], "open_mib_s", result->mib_s[1]));
}

static int bench_rings(struct target *target, json_t *rings)
{
	static const uint16_t pages[] = {1, 8, 32, PAGES_MAX};
	int rc = 0;

	if (!rings)
		printf("#  Extent     Depth   Workers           seal             open\n"
		       "#     KiB\n");
	for (unsigned workers = 1; workers <= target->nr_queues && !rc; workers *= 2)
		for (unsigned depth = 1; depth <= DEPTH_MAX && !rc; depth *= DEPTH_MAX)
			for (size_t i = 0; i < sizeof(pages) / sizeof(*pages) && !rc;
			     i++) {
				struct result result = {pages[i], depth, workers, {0}};

				rc = measure(target, &result);
				if (!rc)
					rc = add_ring(&result, rings);
			}
	return rc;
}

static int bench_kdf(struct target *target, json_t *out)
{
	static const char pass[] = "benchmark";
	struct keyslot slot;
	int rc = hsm_add_slot(target->owner, 0, NULL, KDF_MS, pass, sizeof(pass) - 1,
			      &slot);

	if (rc) {
		say_error(EXIT_INVALID, "The HSM cannot stretch a passphrase: %s.",
			  strerror(-rc));
		return rc;
	}
	if (!out) {
		printf("argon2id  %4u iterations, %u KiB memory, %u lanes, for %d ms\n",
		       slot.kdf.time, slot.kdf.memory_kib, slot.kdf.lanes, KDF_MS);
		return 0;
	}
	return json_object_set_new(out, "kdf",
				   json_pack("{s:s, s:i, s:i, s:i, s:i}", "type",
					     "argon2id", "iterations", (int)slot.kdf.time,
					     "memory_kib", (int)slot.kdf.memory_kib,
					     "lanes", (int)slot.kdf.lanes, "ms", KDF_MS));
}

static int print_identity(const struct target *target, json_t *out)
{
	const struct wire_hello_reply *hsm = hsm_identity(target->owner);

	if (!out) {
		printf("# Figures are approximate: other programs' work slows them.\n"
		       "# HSM: engine %s, token %s, keys in %s\n",
		       hsm->engine, hsm->token, hsm->memory);
		return 0;
	}
	return json_object_update_new(out, json_pack("{s:s, s:s, s:s}", "engine",
						     hsm->engine, "token", hsm->token,
						     "memory", hsm->memory));
}

int cmd_benchmark(char *const args[], const struct options *options)
{
	bool as_json = options->given & OPTION_JSON;
	json_t *out = as_json ? json_object() : NULL;
	json_t *rings = as_json ? json_array() : NULL;
	struct target target = {0};
	int rc = connect_twice(&target);

	(void)args;
	if (!rc)
		rc = attach_rings(&target);
	if (!rc)
		rc = print_identity(&target, out);
	if (!rc)
		rc = engines_benchmark(out);
	if (!rc)
		rc = bench_kdf(&target, out);
	if (!rc)
		rc = bench_rings(&target, rings);
	if (!rc && as_json) {
		rc = json_object_set(out, "ring", rings);
		if (!rc)
			rc = json_dumpf(out, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	target_fini(&target);
	json_decref(out);
	json_decref(rings);
	return rc ? EXIT_INVALID : 0;
}
