/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ring costs: operations of several sizes and depths, sealed and opened
 *   call    by the HSM's code, called as a function
 *   null    through a ring, by a thread of this process that copies instead of encrypting
 *   thread  through a ring, by a thread of this process
 *   hsmd    through a ring, by hsmd
 * One JSON line each, medians of rounds in which the four take turns. Ends with what
 * the design promises of the ring, as ratios within this run.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/null_engine.h"
#include "hsm/api/client.h"
#include "hsm/api/queue.h"
#include "hsm/api/secmem.h"
#include "hsm/arena.h"
#include "hsm/calls.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/random.h"
#include "hsm/service.h"
#include "hsm/session.h"
#include "mkfs/ringload.h"

enum {
	NR_ROUNDS = 9,
	ROUND_BYTES = 64 * 1024 * 1024,
	ROUND_OPS_MAX = 10000,
	PAGES_MAX = 256,
	DEPTH_MAX = 16,
	NR_LATENCIES = 20000,
	NR_HANDLES = 200000,
	REST_S = 2,
	IDLE_S = 10,
	LIFETIME_MS = 30000,
};

enum way { CALL, NULL_THREAD, THREAD, HSMD, NR_WAYS };

static const char *const way_names[NR_WAYS] = {"call", "null", "thread", "hsmd"};
static const uint16_t sizes[] = {1, 8, 32, PAGES_MAX};
static const unsigned depths[] = {1, 4, DEPTH_MAX};

/* Seconds of one operation that the promises are about. */
struct compared {
	double called, served; /* CALL, HSMD */
};

static struct {
	struct queue queues[NR_WAYS]; /* CALL uses only the arena */
	struct service *services[NR_WAYS];
	struct session *session;
	struct calls calls;
	struct hsm_client *owner, *user;
	struct compared page;	    /* 4 KiB sealed, one in flight */
	struct compared extents[2]; /* 1 MiB opened and sealed, four in flight */
	double rotation;
	pid_t hsmd;
	char folder[64];
} s;

static void expect(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "ring_bench: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What hsmd does for WIRE_QUEUE, here. */
static void start_thread(enum way way, const struct aead_engine *engine)
{
	struct service_config config = {.engine = engine,
					.id = way,
					.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					.handle_lifetime_ms = LIFETIME_MS};
	struct queue *queue = &s.queues[way];
	struct wire_handle first;

	config.notify_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	expect(service_start(s.session, &config, queue->memfd, queue->arena_len,
			     &s.services[way], &first),
	       "a service in this process");
	memcpy(queue->handle, first.handle, sizeof(queue->handle));
	queue->generation = first.generation;
}

/* A hsmd of our own, with a volume key that no volume has. */
static void start_hsmd(void)
{
	static const uint8_t uuid[KEYSLOT_UUID_BYTES] = {1};
	struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL};
	uint8_t ticket[WIRE_TICKET_BYTES];
	struct wire_redeem_reply volume;
	char why[256] = "";
	int rc = hsm_connect(1, &s.owner, why, sizeof(why));

	if (rc)
		fprintf(stderr, "ring_bench: %s\n", why);
	expect(rc, "connecting to hsmd");
	s.hsmd = (pid_t)hsm_identity(s.owner)->pid;
	expect(hsm_create(s.owner, uuid), "making a key");
	expect(hsm_ticket(s.owner, &want, ticket), "getting a ticket");
	expect(hsm_connect(0, &s.user, why, sizeof(why)), "connecting again");
	expect(hsm_redeem(s.user, ticket, &volume), "redeeming the ticket");
	expect(queue_attach(&s.queues[HSMD], s.user), "attaching the ring");
}

/* In the arena's @place as ringload would, so that caches see the same. */
static int call(uint8_t op, uint16_t pages, unsigned place)
{
	size_t at = (size_t)place * ringload_arena_len(pages, 1);
	struct arena arena = {s.queues[CALL].arena + at, s.queues[CALL].arena_len - at};

	return calls_run(&s.calls, &arena, op, pages);
}

static double run_calls(uint8_t op, uint16_t pages, unsigned depth, uint32_t nr_ops)
{
	double start;

	for (unsigned place = 0; place < depth; place++)
		expect(call(RING_SEAL, pages, place), "sealing");
	start = now_s();
	for (uint32_t i = 0; i < nr_ops; i++)
		expect(call(op, pages, i % depth), "a call");
	return now_s() - start;
}

static double run_ring(enum way way, uint8_t op, uint16_t pages, unsigned depth,
		       uint32_t nr_ops)
{
	struct ringload load = {&s.queues[way], op, pages, depth};
	double seconds;

	expect(ringload_prepare(&load), "sealing through the ring");
	expect(ringload_run(&load, nr_ops, &seconds), "an operation");
	return seconds;
}

static void note(uint8_t op, uint16_t pages, unsigned depth,
		 const double seconds[NR_WAYS])
{
	const struct compared compared = {seconds[CALL], seconds[HSMD]};

	if (op == RING_SEAL && pages == 1 && depth == 1)
		s.page = compared;
	if (pages == PAGES_MAX && depth == 4)
		s.extents[op == RING_SEAL] = compared;
}

static void bench(uint8_t op, uint16_t pages, unsigned depth)
{
	uint32_t nr_ops = ROUND_BYTES / (pages * PAGE_BYTES);
	double rounds[NR_WAYS][NR_ROUNDS], median[NR_WAYS];

	if (nr_ops > ROUND_OPS_MAX)
		nr_ops = ROUND_OPS_MAX;
	if (nr_ops < 2 * depth)
		nr_ops = 2 * depth;
	for (int i = 0; i < NR_ROUNDS; i++)
		for (enum way way = 0; way < NR_WAYS; way++)
			rounds[way][i] =
				way == CALL ? run_calls(op, pages, depth, nr_ops)
					    : run_ring(way, op, pages, depth, nr_ops);
	for (enum way way = 0; way < NR_WAYS; way++) {
		qsort(rounds[way], NR_ROUNDS, sizeof(double), compare_doubles);
		median[way] = rounds[way][NR_ROUNDS / 2] / nr_ops;
		printf("{\"op\": \"%s\", \"pages\": %u, \"depth\": %u, \"by\": \"%s\", "
		       "\"us_per_op\": %.2f, \"mb_s\": %.0f}\n",
		       op == RING_SEAL ? "seal" : "open", pages, depth, way_names[way],
		       median[way] * 1e6, pages * PAGE_DATA_BYTES / median[way] / 1e6);
	}
	note(op, pages, depth, median);
}

/* One 4 KiB page at a time: each one's time, not their mean. */
static void bench_latency(enum way way)
{
	static double taken[NR_LATENCIES];
	struct ringload load = {&s.queues[way], RING_SEAL, 1, 1};

	for (int i = 0; i < NR_LATENCIES; i++)
		expect(ringload_run(&load, 1, &taken[i]), "an operation");
	qsort(taken, NR_LATENCIES, sizeof(double), compare_doubles);
	printf("{\"latency\": \"seal 1 page\", \"by\": \"%s\", \"p50_us\": %.2f, "
	       "\"p99_us\": %.2f, \"p999_us\": %.2f}\n",
	       way_names[way], taken[NR_LATENCIES / 2] * 1e6,
	       taken[NR_LATENCIES / 100 * 99] * 1e6,
	       taken[NR_LATENCIES / 1000 * 999] * 1e6);
}

/* Checking one handle and issuing the next, as every operation does. */
static void bench_handles(void)
{
	double start = now_s();

	for (int i = 0; i < NR_HANDLES; i++) {
		expect(calls_check_handle(&s.calls), "handle");
		expect(calls_next_handle(&s.calls), "handle");
	}
	s.rotation = (now_s() - start) / NR_HANDLES;
}

static long cpu_ticks(pid_t pid)
{
	char path[64], line[1024] = "";
	unsigned long user = 0, sys = 0;
	const char *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	at = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	if (at)
		sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		       &user, &sys);
	return (long)(user + sys);
}

static unsigned long resident_kib(pid_t pid)
{
	unsigned long pages = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	if (file && fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

/* hsmd has one volume open, with one queue that has come to rest. */
static void bench_idle(void)
{
	long hsmd, ours;
	double percent = 100.0 / (double)(IDLE_S * sysconf(_SC_CLK_TCK));

	sleep(REST_S);
	hsmd = cpu_ticks(s.hsmd);
	ours = cpu_ticks(getpid());
	sleep(IDLE_S);
	printf("{\"idle_s\": %d, \"hsmd_cpu_percent\": %.1f, \"client_cpu_percent\": "
	       "%.1f, \"hsmd_resident_kib\": %lu}\n",
	       IDLE_S, (double)(cpu_ticks(s.hsmd) - hsmd) * percent,
	       (double)(cpu_ticks(getpid()) - ours) * percent, resident_kib(s.hsmd));
}

static void report(void)
{
	printf("{\"ratio\": \"1 MiB extents, hsmd to calls\", \"open_percent\": %.1f, "
	       "\"seal_percent\": %.1f}\n",
	       100 * s.extents[0].called / s.extents[0].served,
	       100 * s.extents[1].called / s.extents[1].served);
	printf("{\"ratio\": \"one 4 KiB operation, hsmd above calls\", \"us\": %.2f}\n",
	       (s.page.served - s.page.called) * 1e6);
	printf("{\"ratio\": \"rotation of handles, of one 4 KiB operation\", "
	       "\"ns\": %.1f, \"percent\": %.2f}\n",
	       s.rotation * 1e9, 100 * s.rotation / s.page.served);
}

static void set_up_folder(void)
{
	char command[128];

	strcpy(s.folder, P_tmpdir "/ring_bench-XXXXXX");
	expect(mkdtemp(s.folder) ? 0 : -errno, "a folder");
	snprintf(command, sizeof(command), "%s/run", s.folder);
	setenv("HSMFS_RUNTIME_DIR", command, 1);
	snprintf(command, sizeof(command), "%s/state", s.folder);
	setenv("HSMFS_STATE_DIR", command, 1);
}

/* hsmd is found beside a program or in PATH: add ../bin, where the build has it. */
static void set_up_path(void)
{
	char path[4096], paths[8192];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	snprintf(paths, sizeof(paths), "%s/../bin:%s", path, getenv("PATH"));
	setenv("PATH", paths, 1);
}

/* hsmd is nobody's child, and writes to its folder until it ends. */
static void end_hsmd(void)
{
	if (s.hsmd <= 0)
		return;
	kill(s.hsmd, SIGTERM);
	for (int i = 0; i < 1000 && !kill(s.hsmd, 0); i++)
		usleep(10000);
}

static void clean_up(void)
{
	char command[128];

	hsm_disconnect(s.user);
	hsm_disconnect(s.owner);
	end_hsmd();
	if (!s.folder[0])
		return;
	snprintf(command, sizeof(command), "rm -rf %s", s.folder);
	if (system(command))
		fprintf(stderr, "ring_bench: %s is left over\n", s.folder);
}

static void set_up(void)
{
	static const uint8_t uuid[KEYSLOT_UUID_BYTES] = {1};
	const struct aead_engine *engine = aead_select(NULL);
	uint8_t *vmk = secmem_alloc(KEYSLOT_VMK_BYTES);

	expect(engine && vmk ? 0 : -ENOMEM, "an engine");
	expect(random_bytes(vmk, KEYSLOT_VMK_BYTES), "a key");
	s.session = session_create(uuid, vmk);
	expect(s.session ? 0 : -ENOMEM, "a session");
	for (enum way way = 0; way < NR_WAYS; way++)
		expect(queue_init(&s.queues[way],
				  ringload_arena_len(PAGES_MAX, DEPTH_MAX)),
		       "a ring");
	expect(calls_init(&s.calls, engine), "direct calls");
	start_thread(NULL_THREAD, &null_engine);
	start_thread(THREAD, engine);
	start_hsmd();
	printf("{\"engine\": \"%s\", \"secmem\": \"%s\"}\n", engine->name, secmem_kind());
}

static void tear_down(void)
{
	service_stop(s.services[NULL_THREAD]);
	service_stop(s.services[THREAD]);
	for (enum way way = 0; way < NR_WAYS; way++)
		queue_fini(&s.queues[way]);
	calls_fini(&s.calls);
	session_release(s.session);
}

int main(void)
{
	expect(secmem_adopt_openssl(), "secret memory");
	set_up_folder();
	set_up_path();
	atexit(clean_up);
	set_up();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (size_t j = 0; j < sizeof(depths) / sizeof(*depths); j++) {
			bench(RING_SEAL, sizes[i], depths[j]);
			bench(RING_OPEN, sizes[i], depths[j]);
		}
	for (enum way way = NULL_THREAD; way < NR_WAYS; way++)
		bench_latency(way);
	bench_handles();
	report();
	bench_idle();
	tear_down();
	return 0;
}
