/* SPDX-License-Identifier: Apache-2.0 */
/* fs/fetch.h: what is in memory, what is not, and stores that cannot tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/fetch.h"
#include "fs/fs.h"
#include "fs/pages.h"
#include "fs/worker.h"

enum { LEN = 10000, OFF = 4096, LAST_OFF = 50000, STORE_BYTES = 70000 };

/* The store: a file whose bytes before @cached, and all behind LAST_OFF or none, are in
 * memory. */
static struct {
	uint8_t bytes[STORE_BYTES];
	uint64_t cached;
	bool last_cached;
	int error; /* of looking at what is in memory */
	unsigned nr_looks, nr_waits;
	unsigned nr_with_hsm; /* operations */
	unsigned read_us;     /* what reading takes */
	bool sleeps;	      /* meanwhile, as far as the kernel says */
	bool interrupted;     /* whoever waits for the HSM */
} store;

static struct fs fs;
static struct worker worker;

/* A request, and what became of it. */
struct job {
	struct fetch fetch;
	uint8_t first[LEN], last[LEN];
	unsigned nr_done;
	int error;
	unsigned turn; /* in which it was done */
};

static unsigned nr_turns;

static long nr_sleeps; /* of this thread, as far as the kernel says */

/* These two before the C library's. */
int getrusage(__rusage_who_t who, struct rusage *usage)
{
	assert_int_equal(who, RUSAGE_THREAD);
	*usage = (struct rusage){.ru_nvcsw = nr_sleeps};
	return 0;
}

ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t off, int flags)
{
	uint64_t at = (uint64_t)off, end = at + iov->iov_len;

	(void)fd;
	assert_int_equal(nr, 1);
	assert_int_equal(flags, RWF_NOWAIT);
	store.nr_looks++;
	if (store.error || (at >= LAST_OFF ? !store.last_cached : store.cached <= at)) {
		errno = store.error ? store.error : EAGAIN;
		return -1;
	}
	if (at < LAST_OFF && end > store.cached)
		end = store.cached;
	memcpy(iov->iov_base, store.bytes + at, end - at);
	return (ssize_t)(end - at);
}

int pages_read_backing(int fd, void *buf, uint64_t len, uint64_t off)
{
	(void)fd;
	assert_int_equal(store.nr_with_hsm, 0);
	store.nr_waits++;
	usleep(store.read_us);
	nr_sleeps += store.sleeps;
	if (off + len > sizeof(store.bytes))
		return -EIO;
	memcpy(buf, store.bytes + off, len);
	return 0;
}

int engine_finish(struct worker *w)
{
	assert_ptr_equal(w, &worker);
	store.nr_with_hsm = 0;
	return 0;
}

int worker_may_block(struct worker *w)
{
	assert_ptr_equal(w, &worker);
	worker.has_seat = false;
	return store.interrupted ? -EINTR : 0;
}

static int reset(void **state)
{
	(void)state;
	memset(&store, 0, sizeof(store));
	memset(&fs, 0, sizeof(fs));
	memset(&worker, 0, sizeof(worker));
	worker.fs = &fs;
	worker.has_seat = true;
	nr_turns = 0;
	for (size_t i = 0; i < sizeof(store.bytes); i++)
		store.bytes[i] = (uint8_t)(i % 251);
	return 0;
}

static void done(struct worker *w, struct fetch *fetch, int error)
{
	struct job *job = (struct job *)fetch;

	assert_ptr_equal(w, &worker);
	job->nr_done++;
	job->error = error;
	job->turn = nr_turns++;
}

/* Starts a job of one range, or of two. */
static struct job *start(uint64_t last_len)
{
	struct job *job = calloc(1, sizeof(*job));

	job->fetch = (struct fetch){
		.ranges = {{job->first, LEN, OFF}, {job->last, last_len, LAST_OFF}},
		.done = done};
	fetch_start(&worker, &job->fetch);
	return job;
}

static void check(const struct job *job, uint64_t last_len)
{
	assert_int_equal(job->nr_done, 1);
	assert_int_equal(job->error, 0);
	assert_memory_equal(job->first, store.bytes + OFF, LEN);
	assert_memory_equal(job->last, store.bytes + LAST_OFF, last_len);
}

static void what_is_in_memory_is_there_at_once(void **state)
{
	struct job *job;

	(void)state;
	store.cached = OFF + LEN;
	store.last_cached = true;
	job = start(LEN);
	check(job, LEN);
	assert_int_equal(store.nr_waits, 0);
	assert_null(worker.fetches.first);
	free(job);
}

static void what_is_not_is_looked_for_again(void **state)
{
	struct job *job;

	(void)state;
	job = start(LEN);
	assert_int_equal(job->nr_done, 0);
	/* both ranges must be on their way */
	assert_int_equal(store.nr_looks, 2);
	assert_false(fetch_run(&worker));
	store.cached = OFF + 1;
	assert_false(fetch_run(&worker));
	store.last_cached = true;
	assert_false(fetch_run(&worker));
	store.cached = OFF + LEN;
	assert_true(fetch_run(&worker));
	check(job, LEN);
	assert_false(fetch_run(&worker));
	assert_int_equal(store.nr_waits, 0);
	free(job);
}

static void what_never_comes_is_waited_for(void **state)
{
	struct job *job;

	(void)state;
	assert_false(fetch_overdue(&worker, false));
	job = start(LEN);
	store.cached = OFF + 100;
	assert_false(fetch_run(&worker));
	while (!fetch_overdue(&worker, false))
		;
	while (!fetch_overdue(&worker, true))
		;
	fetch_finish(&worker);
	check(job, LEN);
	assert_int_equal(store.nr_waits, 2);
	assert_false(fetch_overdue(&worker, false));
	free(job);
}

static void sent_to_the_hsm(struct worker *w, struct fetch *fetch, int error)
{
	store.nr_with_hsm++;
	done(w, fetch, error);
}

static void what_the_hsm_has_does_not_wait_with_it(void **state)
{
	struct job *jobs[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		jobs[i] = start(LEN);
		jobs[i]->fetch.done = sent_to_the_hsm;
	}
	store.nr_with_hsm = 3;
	fetch_finish(&worker);
	for (int i = 0; i < 2; i++) {
		check(jobs[i], LEN);
		free(jobs[i]);
	}
}

static void the_oldest_comes_first(void **state)
{
	struct job *jobs[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		jobs[i] = start(0);
	store.cached = OFF + LEN;
	assert_true(fetch_run(&worker));
	fetch_finish(&worker);
	for (unsigned i = 0; i < 3; i++) {
		check(jobs[i], 0);
		assert_int_equal(jobs[i]->turn, i);
		free(jobs[i]);
	}
	/* and the queue is as good as new */
	store.cached = 0;
	jobs[0] = start(0);
	assert_int_equal(jobs[0]->nr_done, 0);
	fetch_finish(&worker);
	check(jobs[0], 0);
	free(jobs[0]);
}

static void who_does_not_receive_waits(void **state)
{
	struct job *job;

	(void)state;
	worker.has_seat = false;
	job = start(LEN);
	check(job, LEN);
	free(job);
}

static void a_store_that_cannot_tell_is_asked_once(void **state)
{
	struct job *job;

	(void)state;
	store.error = EOPNOTSUPP;
	job = start(0);
	check(job, 0);
	free(job);
	store.nr_looks = 0;
	job = start(LEN);
	check(job, LEN);
	assert_int_equal(store.nr_looks, 0);
	free(job);
}

/* A read that takes long, of a store that cannot tell. Whether the seat was given up. */
static bool read_slowly(void)
{
	struct job *job;

	store.error = EOPNOTSUPP;
	store.read_us = 1000;
	worker.has_seat = true;
	job = start(0);
	check(job, 0);
	free(job);
	return !worker.has_seat;
}

static void others_do_not_wait_for_a_slow_store_that_cannot_tell(void **state)
{
	bool left = false;

	(void)state;
	store.sleeps = true;
	/* more than a few only if something else takes long in between */
	for (int i = 0; i < 1000 && !left; i++)
		left = read_slowly();
	assert_true(left);
}

static void whoever_is_interrupted_does_not_wait_for_it(void **state)
{
	struct job *job;

	(void)state;
	store.error = EOPNOTSUPP;
	store.interrupted = true;
	fs.slow_until_ns = UINT64_MAX;
	job = start(0);
	assert_int_equal(job->nr_done, 1);
	assert_int_equal(job->error, -EINTR);
	assert_int_equal(store.nr_waits, 0);
	free(job);
}

static void whoever_is_preempted_keeps_the_seat(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		assert_false(read_slowly());
}

static void a_store_is_not_slow_for_ever(void **state)
{
	(void)state;
	fs.slow_until_ns = 1;
	assert_false(read_slowly());
}

static void errors_are_met_by_waiting(void **state)
{
	struct job *job = calloc(1, sizeof(*job));

	(void)state;
	job->fetch = (struct fetch){.ranges = {{job->first, LEN, STORE_BYTES - LEN + 1}},
				    .done = done};
	fetch_start(&worker, &job->fetch);
	assert_int_equal(job->nr_done, 0);
	fetch_finish(&worker);
	assert_int_equal(job->nr_done, 1);
	assert_int_equal(job->error, -EIO);
	free(job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_in_memory_is_there_at_once, reset),
		cmocka_unit_test_setup(what_is_not_is_looked_for_again, reset),
		cmocka_unit_test_setup(what_never_comes_is_waited_for, reset),
		cmocka_unit_test_setup(what_the_hsm_has_does_not_wait_with_it, reset),
		cmocka_unit_test_setup(the_oldest_comes_first, reset),
		cmocka_unit_test_setup(who_does_not_receive_waits, reset),
		cmocka_unit_test_setup(a_store_that_cannot_tell_is_asked_once, reset),
		cmocka_unit_test_setup(
			others_do_not_wait_for_a_slow_store_that_cannot_tell, reset),
		cmocka_unit_test_setup(whoever_is_interrupted_does_not_wait_for_it,
				       reset),
		cmocka_unit_test_setup(whoever_is_preempted_keeps_the_seat, reset),
		cmocka_unit_test_setup(a_store_is_not_slow_for_ever, reset),
		cmocka_unit_test_setup(errors_are_met_by_waiting, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
