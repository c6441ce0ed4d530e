/* SPDX-License-Identifier: Apache-2.0 */
/* How a side of the ring waits: it looks, yielding, before it sleeps, or sleeps at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hsm/api/queue.h"
#include "hsm/api/ring.h"

static unsigned nr_yields;

int __wrap_sched_yield(void);
int __wrap_sched_yield(void)
{
	nr_yields++;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_looks_before_it_sleeps),
		cmocka_unit_test(test_without_patience_it_sleeps_at_once),
		cmocka_unit_test(test_patience_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
