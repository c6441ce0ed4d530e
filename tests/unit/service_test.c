/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that rewrites descriptors, indices and data from another thread while hsmd
 * works on them, beside one that behaves. hsmd goes on, the other gets no wrong answer,
 * and is about as fast as beside a neighbour that behaves but uses the processor as much.
 *
 * HOSTILE_SECONDS: how long (default 8). Meant for builds with sanitizers as well.
 */
#include "tests/unit/hsmd_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

enum { SLICE_MS = 250, RING_BYTES = RING_ARENA_OFFSET + ARENA_BYTES };

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- the neighbour ------------------------------------------------------------------ */

struct scribbler {
	struct queue *queue;
	uint8_t *view; /* of the ring, so that a sanitizer sees two processes' memory */
	atomic_bool stop;
	unsigned seed;
	bool hostile;
	uint8_t decoy[RING_BYTES]; /* what a good one scribbles on */
};

/* Values that are near limits more often than chance would have it. */
static uint32_t nasty(unsigned *seed)
{
	static const uint32_t values[] = {0,
					  1,
					  2,
					  63,
					  64,
					  65,
					  255,
					  256,
					  260,
					  261,
					  4031,
					  4032,
					  4063,
					  4064,
					  4095,
					  4096,
					  4097,
					  ARENA_BYTES,
					  ARENA_BYTES - 1,
					  0xffff,
					  1024,
					  1025,
					  0x7fffffff,
					  0x80000000,
					  0xffffffff};
	uint32_t r = (uint32_t)rand_r(seed);

	return r % 3 ? values[r / 3 % (sizeof(values) / sizeof(values[0]))]
		     : r ^ (uint32_t)rand_r(seed) << 16;
}

static void scribble(struct scribbler *s, uint8_t *ring)
{
	unsigned what = (unsigned)rand_r(&s->seed) % 64;
	uint32_t value = nasty(&s->seed);
	size_t at;

	if (what < 40) /* a descriptor in use, past the handle; seldom that too */
		at = 128 + (size_t)rand_r(&s->seed) % 64 * 128 + (what < 38 ? 24 : 0) +
		     (size_t)rand_r(&s->seed) % 20 * 4;
	else if (what < 62) /* seals, headers and records */
		at = RING_ARENA_OFFSET + (size_t)rand_r(&s->seed) % (ARENA_BYTES - 4);
	else if (what < 63) /* the HSM's own fields, completions */
		at = 64 + (size_t)rand_r(&s->seed) % (12416 - 64);
	else if (rand_r(&s->seed) % 64 == 0) /* the tail: this mostly ends it */
		at = 0;
	else
		at = 4; /* sleeps */
	at &= ~(size_t)3;
	__atomic_store_n((uint32_t *)(void *)(ring + at), value, __ATOMIC_RELAXED);
}

static void *scribbler_thread(void *arg)
{
	struct scribbler *s = arg;
	uint8_t *ring = s->hostile ? s->view : s->decoy;

	while (!atomic_load_explicit(&s->stop, memory_order_relaxed))
		scribble(s, ring);
	return NULL;
}

static struct ring_sqe some_operation(unsigned *seed)
{
	static const uint8_t ops[] = {RING_OPEN,      RING_SEAL,      RING_NAME_SEAL,
				      RING_NAME_OPEN, RING_BLOB_SEAL, RING_BLOB_OPEN};
	struct ring_sqe sqe = rand_r(seed) % 2 ? sqe_seal() : sqe_open();

	sqe.op = ops[(unsigned)rand_r(seed) % sizeof(ops)];
	if (sqe.op > RING_SEAL) {
		sqe.src_len = 4096;
		sqe.dst_len = 32768;
	}
	return sqe;
}

/* Works until hsmd has enough of it. */
static void work(struct hsm_client *user, struct scribbler *s)
{
	struct pollfd fd = {.fd = hsm_fd(user)};
	unsigned seed = s->seed * 31 + 1;
	struct ring_cqe cqe;

	for (unsigned i = 0; i % 64 || poll(&fd, 1, 0) == 0; i++) {
		struct ring_sqe sqe = s->hostile ? some_operation(&seed) : sqe_open();

		memset(s->queue->arena, 0, 64); /* empty records */
		queue_submit(s->queue, &sqe);
		queue_flush(s->queue);
		while (queue_reap(s->queue, &cqe))
			;
		if (s->queue->in_flight > RING_ENTRIES / 2)
			queue_wait(s->queue, 1);
	}
}

static void be_a_neighbour(bool hostile, unsigned seed)
{
	static struct scribbler s;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;; seed++) {
		struct hsm_client *owner = own_session();
		struct hsm_client *user = use_session(owner);
		struct queue queue;
		pthread_t thread;

		attach(&queue, user);
		if (!hostile)
			assert_int_equal(seal_page(&queue), 0);
		s.queue = &queue;
		s.view = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			      queue.memfd, 0);
		assert_ptr_not_equal(s.view, MAP_FAILED);
		s.hostile = hostile;
		s.seed = seed;
		atomic_store(&s.stop, false);
		assert_int_equal(pthread_create(&thread, NULL, scribbler_thread, &s), 0);
		work(user, &s);
		atomic_store(&s.stop, true);
		pthread_join(thread, NULL);
		munmap(s.view, RING_BYTES);
		hsm_disconnect(user);
		hsm_disconnect(owner);
		queue_fini(&queue);
	}
}

static pid_t start_neighbour(bool hostile, unsigned seed)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		be_a_neighbour(hostile, seed);
	kill(pid, SIGSTOP);
	return pid;
}

/* --- the one that behaves ------------------------------------------------------------
 */

static unsigned work_for(struct queue *queue, unsigned ms)
{
	uint64_t until = now_ms() + ms;
	unsigned done = 0;

	do {
		assert_int_equal(seal_page(queue), 0);
		assert_int_equal(open_page(queue), 0);
		done++;
	} while (now_ms() < until);
	return done;
}

static unsigned beside(pid_t pid, struct queue *queue)
{
	unsigned done;

	kill(pid, SIGCONT);
	done = work_for(queue, SLICE_MS);
	kill(pid, SIGSTOP);
	return done;
}

static void end_neighbour(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void hostile_neighbour_costs_nothing(void **state)
{
	const char *seconds = getenv("HOSTILE_SECONDS");
	uint64_t until = now_ms() + (seconds ? (uint64_t)atoi(seconds) : 8) * 1000;
	unsigned long good = 0, bad = 0;
	struct hsm_client *owner, *user;
	pid_t polite, hostile;
	struct queue queue;
	struct hsmd hsmd = {0};

	(void)state;
	hsmd_folders(&hsmd);
	hsmd_start(&hsmd, NULL);
	polite = start_neighbour(false, 1);
	hostile = start_neighbour(true, (unsigned)getpid());
	owner = own_session();
	user = use_session(owner);
	attach(&queue, user);
	while (now_ms() < until) {
		good += beside(polite, &queue);
		bad += beside(hostile, &queue);
	}
	print_message("beside a polite neighbour %lu, beside a hostile one %lu\n", good,
		      bad);
	/* far below what is measured when nothing else runs here */
	assert_true(bad > good / 2);
	end_neighbour(polite);
	end_neighbour(hostile);
	hsm_disconnect(user);
	hsm_disconnect(owner);
	queue_fini(&queue);
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
}

/* --- an idle one ----------------------------------------------------------------------
 */

static unsigned long resident_pages(pid_t pid)
{
	unsigned long pages = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
	fclose(file);
	return pages;
}

/* Has hsmd write to all of an arena of @len bytes. */
static void fill_arena(struct queue *queue, uint32_t len)
{
	const uint32_t step = 256 * PAGE_BYTES;
	struct ring_sqe sqe = sqe_seal();

	sqe.count = 256;
	sqe.last_len = PAGE_DATA_BYTES;
	sqe.dst_len = step;
	for (sqe.dst = step; sqe.dst < len; sqe.dst += step)
		assert_int_equal(run(queue, &sqe).status, 0);
}

static void idle_queues_hold_no_memory(void **state)
{
	const uint32_t len = 32 * 1024 * 1024;
	const unsigned long pages = len / PAGE_BYTES;
	uint64_t until = now_ms() + 60000;
	struct hsm_client *owner, *user;
	struct hsmd hsmd = {0};
	unsigned long before;
	struct queue queue;

	(void)state;
	hsmd_folders(&hsmd);
	hsmd_start(&hsmd, NULL);
	owner = own_session();
	user = use_session(owner);
	assert_int_equal(queue_init(&queue, len), 0);
	assert_int_equal(queue_attach(&queue, user), 0);
	assert_int_equal(seal_page(&queue), 0);
	before = resident_pages(hsmd.pid);
	fill_arena(&queue, len);
	while (resident_pages(hsmd.pid) > before + pages / 2 && now_ms() < until)
		usleep(10000);
	assert_true(resident_pages(hsmd.pid) <= before + pages / 2);
	/* and loses nothing */
	assert_int_equal(open_page(&queue), 0);
	hsm_disconnect(user);
	hsm_disconnect(owner);
	queue_fini(&queue);
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_neighbour_costs_nothing),
		cmocka_unit_test(idle_queues_hold_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
