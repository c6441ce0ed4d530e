/* SPDX-License-Identifier: Apache-2.0 */
/* A queue's thread leaves the core that its client looks from, and keeps to its own. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hsm/apart.h"
#include "hsm/clock.h"

enum { TRIES = 1000 };

static uint64_t fake_ms;

static uint64_t fake_clock(void)
{
	return fake_ms;
}

static cpu_set_t allowed(void)
{
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	return set;
}

static void leaves_the_core_of_its_client(void **state)
{
	cpu_set_t before = allowed(), after;
	int moved = 0;

	(void)state;
	if (CPU_COUNT(&before) < 2)
		skip();
	/* the kernel may move us at any time as well, so not each try need show it */
	for (int i = 0; i < TRIES && !moved; i++) {
		struct apart apart = {0};
		int core = sched_getcpu();

		apart_keep(&apart, (uint32_t)core);
		moved = sched_getcpu() != core;
		after = allowed();
		assert_true(CPU_EQUAL(&before, &after));
	}
	assert_true(moved);
}

static void stays_where_it_has_no_choice(void **state)
{
	cpu_set_t before = allowed(), one, after;
	struct apart apart = {0};
	int core = sched_getcpu();

	(void)state;
	CPU_ZERO(&one);
	CPU_SET(core, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	apart_keep(&apart, (uint32_t)core);
	after = allowed();
	assert_true(CPU_EQUAL(&one, &after));
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* Pinned to one core, so that a move, which it then cannot make, shows in next_ms. */
static void moves_seldom_and_not_for_nonsense(void **state)
{
	static const uint32_t nonsense[] = {UINT32_MAX, 0x7fffffff, 0x80000000, 100000};
	cpu_set_t before = allowed(), one;
	struct apart apart = {0};
	int core = sched_getcpu();
	uint64_t next;

	(void)state;
	fake_ms = 1;
	clock_set_source(fake_clock);
	CPU_ZERO(&one);
	CPU_SET(core, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		apart_keep(&apart, nonsense[i]);
		assert_int_equal(apart.next_ms, 0);
	}
	apart_keep(&apart, (uint32_t)core);
	next = apart.next_ms;
	assert_true(next > fake_ms);
	fake_ms = next - 1;
	apart_keep(&apart, (uint32_t)core);
	assert_int_equal(apart.next_ms, next);
	fake_ms = next;
	apart_keep(&apart, (uint32_t)core);
	assert_true(apart.next_ms > next);
	clock_set_source(NULL);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_the_core_of_its_client),
		cmocka_unit_test(stays_where_it_has_no_choice),
		cmocka_unit_test(moves_seldom_and_not_for_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
