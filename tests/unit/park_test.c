/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait while the volume is suspended, and interrupts of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/fuse_park.h"
#include "fs/killed.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/park.h"

enum { NR = 200, DYING = 77 };

static struct fs fs;
static struct park park;
static uint32_t epoch; /* 0: suspended */
static int fuse[2];    /* what is answered comes out of the first */

uint32_t link_epoch(const struct link *link)
{
	(void)link;
	return epoch;
}

bool killed_is_dying(pid_t pid)
{
	return pid == DYING;
}

void log_warn(const char *format, ...)
{
	fail_msg("%s", format);
}

static int set_up(void **state)
{
	(void)state;
	epoch = 0;
	park_init(&park);
	return pipe2(fuse, O_NONBLOCK);
}

static int tear_down(void **state)
{
	(void)state;
	park_fini(&park);
	close(fuse[0]);
	close(fuse[1]);
	return 0;
}

/* True when it was dealt with. */
static bool lookup(uint64_t unique, uint32_t pid)
{
	struct fuse_in_header header = {.len = sizeof(header),
					.opcode = FUSE_LOOKUP,
					.unique = unique,
					.pid = pid};

	return fuse_park_request(&park, &fs, fuse[1], &header, sizeof(header));
}

static bool interrupt(uint64_t unique)
{
	struct {
		struct fuse_in_header header;
		struct fuse_interrupt_in in;
	} message = {
		{.len = sizeof(message), .opcode = FUSE_INTERRUPT, .unique = unique + 1},
		{.unique = unique}};

	return fuse_park_request(&park, &fs, fuse[1], &message, sizeof(message));
}

/* 0: none was. */
static uint64_t answered(void)
{
	struct fuse_out_header out;

	if (read(fuse[0], &out, sizeof(out)) != sizeof(out))
		return 0;
	assert_int_equal(out.error, -EINTR);
	return out.unique;
}

static uint64_t take(void)
{
	struct fuse_in_header header;

	if (fuse_park_take(&park, &fs, &header) < 0)
		return 0;
	return header.unique;
}

static void test_requests_wait_in_order(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= NR; i++)
		assert_true(lookup(2 * i, 1));
	assert_int_equal(take(), 0);
	epoch = 2;
	for (uint64_t i = 1; i <= NR; i++)
		assert_int_equal(take(), 2 * i);
	assert_int_equal(take(), 0);
	assert_true(park_is_empty(&park));
	assert_false(lookup(4, 1));
}

static void test_who_waits_is_interrupted(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 3; i++)
		assert_true(lookup(2 * i, 1));
	assert_true(interrupt(4));
	assert_int_equal(answered(), 4);
	assert_false(interrupt(4));
	assert_int_equal(answered(), 0);
	epoch = 2;
	assert_int_equal(take(), 2);
	assert_int_equal(take(), 6);
	assert_int_equal(take(), 0);
}

/* One worker has read the request when another reads its interrupt. */
static void test_an_interrupt_overtakes_its_request(void **state)
{
	(void)state;
	assert_false(interrupt(4)); /* it may be under way */
	assert_true(lookup(2, 1));
	assert_int_equal(answered(), 0);
	assert_true(lookup(4, 1));
	assert_int_equal(answered(), 4);
	epoch = 2;
	assert_int_equal(take(), 2);
	assert_int_equal(take(), 0);
}

static void test_who_was_killed_is_let_go(void **state)
{
	(void)state;
	assert_true(lookup(2, 1));
	assert_true(lookup(4, DYING));
	assert_true(lookup(6, DYING));
	fuse_park_answer_dying(&park, fuse[1]);
	assert_int_equal(answered(), 4);
	assert_int_equal(answered(), 6);
	assert_int_equal(answered(), 0);
	assert_true(lookup(8, 1));
	epoch = 2;
	assert_int_equal(take(), 2);
	assert_int_equal(take(), 8);
}

int main(void)
{
#define WITH_PARK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_PARK(test_requests_wait_in_order),
		WITH_PARK(test_who_waits_is_interrupted),
		WITH_PARK(test_an_interrupt_overtakes_its_request),
		WITH_PARK(test_who_was_killed_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
