/* SPDX-License-Identifier: Apache-2.0 */
/* How a side of the ring waits: it looks, yielding, before it sleeps, or sleeps at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "hsm/api/queue.h"
#include "hsm/api/ring.h"

static unsigned nr_yields;
static uint64_t yield_ns; /* how long somebody else runs then, at least */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int __wrap_sched_yield(void);
int __wrap_sched_yield(void)
{
	uint64_t until = now_ns() + yield_ns;

	nr_yields++;
	while (yield_ns && now_ns() < until)
		;
	return 0;
}

/* Nothing comes: how often it yielded before it slept. */
static unsigned yields_of(uint32_t patience)
{
	struct queue queue;

	assert_int_equal(queue_init(&queue, PAGE_BYTES), 0);
	if (patience != RING_SPIN_NS)
		queue_set_patience(&queue, patience);
	nr_yields = 0;
	for (int i = 0; i < 3; i++)
		queue_wait(&queue, 1);
	queue_fini(&queue);
	return nr_yields;
}

static void test_it_looks_before_it_sleeps(void **state)
{
	(void)state;
	assert_int_not_equal(yields_of(RING_SPIN_NS), 0);
	assert_int_not_equal(yields_of(1000), 0);
}

static void test_without_patience_it_sleeps_at_once(void **state)
{
	(void)state;
	assert_int_equal(yields_of(0), 0);
}

static void test_patience_has_a_bound(void **state)
{
	struct queue queue;

	(void)state;
	assert_int_equal(queue_init(&queue, PAGE_BYTES), 0);
	queue_set_patience(&queue, UINT32_MAX);
	assert_int_equal(queue.spin.max_ns, RING_SPIN_NS);
	queue_fini(&queue);
}

static unsigned yields_of_wait(struct ring_spin *spin)
{
	uint32_t word = 0, sleeps = 0;

	nr_yields = 0;
	assert_int_equal(ring_wait(spin, &word, &sleeps, 0, 1), 0);
	return nr_yields;
}

/* While what comes takes long, whoever wants the core gets it. */
static void test_for_long_work_it_makes_room(void **state)
{
	struct ring_spin spin = {.max_ns = RING_SPIN_NS};

	(void)state;
	ring_spin_expect(&spin, true);
	yield_ns = 20000;
	assert_int_equal(yields_of_wait(&spin), 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(yields_of_wait(&spin), 0);
	/* that is over with other work */
	ring_spin_expect(&spin, false);
	assert_int_not_equal(yields_of_wait(&spin), 0);
	yield_ns = 0;
}

static struct ring_sqe sqe_of(uint8_t op, uint16_t count)
{
	return (struct ring_sqe){.op = op, .count = count};
}

static void test_what_is_long(void **state)
{
	struct ring_sqe sqe;

	(void)state;
	sqe = sqe_of(RING_OPEN, RING_LONG_PAGES);
	assert_true(ring_is_long(&sqe));
	sqe = sqe_of(RING_SEAL, RING_MAX_PAGES);
	assert_true(ring_is_long(&sqe));
	sqe = sqe_of(RING_OPEN, RING_LONG_PAGES - 1);
	assert_false(ring_is_long(&sqe));
	sqe = sqe_of(RING_NAME_OPEN, RING_MAX_PAGES);
	assert_false(ring_is_long(&sqe));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_looks_before_it_sleeps),
		cmocka_unit_test(test_without_patience_it_sleeps_at_once),
		cmocka_unit_test(test_patience_has_a_bound),
		cmocka_unit_test(test_for_long_work_it_makes_room),
		cmocka_unit_test(test_what_is_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
