/* SPDX-License-Identifier: Apache-2.0 */
/* A worker goes to the core of its client, and the other core is kept from being idle. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/near.h"

enum { TRIES = 2000000, LONG_NS = 1000000000 };

static cpu_set_t all;

static cpu_set_t set_of(int first, int second)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(first, &set);
	CPU_SET(second, &set);
	return set;
}

static void use_cores(cpu_set_t set)
{
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static uint32_t own_tid(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

static int core_number(int n)
{
	for (int core = 0; core < CPU_SETSIZE; core++)
		if (CPU_ISSET(core, &all) && n-- == 0)
			return core;
	return -1;
}

static int begin(void **state)
{
	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	if (CPU_COUNT(&all) >= 2)
		use_cores(set_of(core_number(0), core_number(1)));
	return 0;
}

static int end(void **state)
{
	(void)state;
	use_cores(all);
	return 0;
}

/* Waits on a core that the test chooses. */
struct client {
	pthread_t thread;
	int core;
	uint32_t tid;
	pthread_barrier_t ready, done;
};

static void *wait_on_core(void *arg)
{
	struct client *client = arg;

	/* what a program calls itself is not to be taken for what the kernel says */
	prctl(PR_SET_NAME, "a) R 1 (b");
	use_cores(set_of(client->core, client->core));
	client->tid = own_tid();
	pthread_barrier_wait(&client->ready);
	pthread_barrier_wait(&client->done);
	return NULL;
}

static void client_begin(struct client *client, int core)
{
	client->core = core;
	pthread_barrier_init(&client->ready, NULL, 2);
	pthread_barrier_init(&client->done, NULL, 2);
	assert_int_equal(pthread_create(&client->thread, NULL, wait_on_core, client), 0);
	pthread_barrier_wait(&client->ready);
}

static void client_end(struct client *client)
{
	pthread_barrier_wait(&client->done);
	pthread_join(client->thread, NULL);
	pthread_barrier_destroy(&client->ready);
	pthread_barrier_destroy(&client->done);
}

/* The kernel may move us at any time as well, but not each time away from there. */
static void goes_to_its_client(void **state)
{
	cpu_set_t before, after;
	struct client client;
	struct near near;

	(void)state;
	if (CPU_COUNT(&all) < 2)
		skip();
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	near_init(&near, LONG_NS);
	assert_true(near.proc >= 0);
	for (int n = 0; n < 2; n++) {
		struct near_worker w = {0};
		bool is_there = false;

		client_begin(&client, core_number(n));
		for (int i = 0; i < TRIES && !is_there; i++) {
			near_request(&near, &w, client.tid, true, 0);
			is_there = w.together && sched_getcpu() == client.core;
		}
		assert_true(is_there);
		client_end(&client);
	}
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
	near_fini(&near);
}

static void looks_busy_only_where_the_hsm_is_not(void **state)
{
	struct near_worker w = {0};
	struct near near;
	uint32_t nr = 0;

	(void)state;
	if (CPU_COUNT(&all) < 2)
		skip();
	near_init(&near, LONG_NS);
	for (int i = 0; i < TRIES && !w.looked_ns; i++)
		near_request(&near, &w, own_tid(), true, ++nr);
	assert_true(w.looked_ns);
	assert_true(w.together);
	assert_false(near.started);
	for (int i = 0; i < TRIES && !near.started; i++)
		near_request(&near, &w, own_tid(), true, nr);
	assert_true(near.started);
	near_fini(&near);
}

/* Nobody knows where it is: one that is gone, or the kernel's own. */
static void stays_when_nobody_is_there(void **state)
{
	static const uint32_t nobody[] = {0, UINT32_MAX, INT32_MAX};
	struct near near;

	(void)state;
	if (CPU_COUNT(&all) < 2)
		skip();
	near_init(&near, LONG_NS);
	for (size_t n = 0; n < sizeof(nobody) / sizeof(nobody[0]); n++) {
		struct near_worker w = {0};

		for (int i = 0; i < TRIES / 20 && !w.looked_ns; i++)
			near_request(&near, &w, nobody[n], true, 0);
		assert_int_equal(!w.looked_ns, !nobody[n]);
		assert_false(w.together);
	}
	assert_false(near.started);
	near_fini(&near);
}

/* Other requests follow each other as well, but it is not they that say where to go. */
static void looks_only_at_one_that_waits(void **state)
{
	struct near_worker w = {0};
	struct near near;

	(void)state;
	if (CPU_COUNT(&all) < 2)
		skip();
	near_init(&near, LONG_NS);
	for (int i = 0; i < TRIES && w.in_row < 100; i++)
		near_request(&near, &w, own_tid(), false, 0);
	assert_true(w.in_row >= 100);
	assert_false(w.looked_ns);
	for (int i = 0; i < TRIES && !w.looked_ns; i++)
		near_request(&near, &w, own_tid(), true, 0);
	assert_true(w.together);
	near_fini(&near);
}

static void looks_only_at_one_that_is_alone(void **state)
{
	struct near_worker w = {0};
	struct near near;

	(void)state;
	if (CPU_COUNT(&all) < 2)
		skip();
	near_init(&near, LONG_NS);
	for (int i = 0; i < TRIES / 20; i++)
		near_request(&near, &w, i % 2 ? own_tid() : 1, true, 0);
	assert_false(w.looked_ns);
	near_fini(&near);
}

static void is_for_two_cores_that_may_be_polled_on(void **state)
{
	struct near near;

	(void)state;
	near_init(&near, 0);
	assert_int_equal(near.proc, -1);
	near_fini(&near);
	use_cores(set_of(core_number(0), core_number(0)));
	near_init(&near, LONG_NS);
	assert_int_equal(near.proc, -1);
	near_fini(&near);
	use_cores(all);
	near_init(&near, LONG_NS);
	assert_int_equal(near.proc >= 0, CPU_COUNT(&all) == 2);
	near_fini(&near);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goes_to_its_client, begin, end),
		cmocka_unit_test_setup_teardown(looks_busy_only_where_the_hsm_is_not,
						begin, end),
		cmocka_unit_test_setup_teardown(stays_when_nobody_is_there, begin, end),
		cmocka_unit_test_setup_teardown(looks_only_at_one_that_waits, begin, end),
		cmocka_unit_test_setup_teardown(looks_only_at_one_that_is_alone, begin,
						end),
		cmocka_unit_test_setup_teardown(is_for_two_cores_that_may_be_polled_on,
						begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
