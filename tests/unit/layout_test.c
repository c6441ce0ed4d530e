/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/volume/layout.h"

/* Sizes where something changes, and their neighbours. */
static void each_border(void (*check)(uint64_t size))
{
	for (uint64_t page = 0; page < 5; page++) {
		for (uint64_t delta = 0; delta < 70; delta++) {
			check(page * PAGE_DATA_BYTES + delta);
			if (page)
				check(page * PAGE_DATA_BYTES - delta);
		}
	}
	for (unsigned shift = 13; shift < 62; shift++) {
		check(UINT64_C(1) << shift);
		check((UINT64_C(1) << shift) - 1);
		check((UINT64_C(1) << shift) + 1);
	}
	for (uint64_t delta = 0; delta < 5000; delta++)
		check((uint64_t)LAYOUT_MAX_SIZE - delta);
}

static void check_size_is_inverse(uint64_t size)
{
	uint64_t backing = layout_backing_size(size);

	if (size > (uint64_t)LAYOUT_MAX_SIZE)
		return;
	assert_true(backing <= INT64_MAX);
	assert_int_equal(layout_plain_size(backing), size);
	assert_int_equal(layout_pages(size), (backing + PAGE_BYTES - 1) / PAGE_BYTES);
}

static void check_pages_tile_the_file(uint64_t size)
{
	uint64_t last;

	if (!size || size > (uint64_t)LAYOUT_MAX_SIZE)
		return;
	last = layout_pages(size) - 1;
	assert_int_equal(layout_page(size - 1), last);
	assert_int_equal(layout_page(layout_page_start(last)), last);
	assert_int_equal(layout_page_start(last) + layout_content(last, size), size);
	if (!last)
		return;
	assert_int_equal(layout_page(layout_page_start(last) - 1), last - 1);
	assert_int_equal(layout_content(last - 1, size), page_capacity(last - 1));
	assert_int_equal(layout_page_start(last - 1) + page_capacity(last - 1),
			 layout_page_start(last));
}

static void sizes_are_inverse(void **state)
{
	(void)state;
	each_border(check_size_is_inverse);
}

static void pages_tile_the_file(void **state)
{
	(void)state;
	each_border(check_pages_tile_the_file);
}

static void worked_sizes(void **state)
{
	(void)state;
	assert_int_equal(layout_backing_size(0), 0);
	assert_int_equal(layout_backing_size(1), 65);
	assert_int_equal(layout_backing_size(4032), 4096);
	assert_int_equal(layout_backing_size(4033), 4096 + 33);
	assert_int_equal(layout_backing_size(4032 + 4064), 8192);
	assert_int_equal(layout_page(4031), 0);
	assert_int_equal(layout_page(4032), 1);
	assert_int_equal(layout_page(4032 + 4063), 1);
	assert_int_equal(layout_page(4032 + 4064), 2);
}

static void lengths_no_seal_has_lose_the_last_page(void **state)
{
	(void)state;
	for (uint64_t rest = 0; rest <= 64; rest++)
		assert_int_equal(layout_plain_size(rest), 0);
	assert_int_equal(layout_plain_size(65), 1);
	for (uint64_t rest = 0; rest <= 32; rest++)
		assert_int_equal(layout_plain_size(4096 + rest), 4032);
	assert_int_equal(layout_plain_size(4096 + 33), 4033);
}

static void plain_size_never_shrinks_as_the_backing_grows(void **state)
{
	uint64_t before = 0;

	(void)state;
	for (uint64_t backing = 0; backing < 4 * PAGE_BYTES; backing++) {
		uint64_t plain = layout_plain_size(backing);

		assert_true(plain >= before && plain - before <= 1);
		before = plain;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_inverse),
		cmocka_unit_test(pages_tile_the_file),
		cmocka_unit_test(worked_sizes),
		cmocka_unit_test(lengths_no_seal_has_lose_the_last_page),
		cmocka_unit_test(plain_size_never_shrinks_as_the_backing_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
