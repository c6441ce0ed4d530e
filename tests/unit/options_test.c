/* SPDX-License-Identifier: Apache-2.0 */
/* Mount options: ours, FUSE's, and wrong ones. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/crew.h"
#include "fs/fs.h"
#include "fs/options.h"

static struct fs sorted(const char *text, const char *others)
{
	struct fs fs = {0};
	char why[256] = "", *rest = NULL;

	assert_int_equal(options_sort(text, &fs, &rest, why, sizeof(why)), 0);
	assert_string_equal(rest, others);
	assert_string_equal(why, "");
	free(rest);
	return fs;
}

static void test_defaults(void **state)
{
	struct fs fs = sorted(NULL, "");

	(void)state;
	assert_int_equal(fs.cache, FS_CACHE_WRITEBACK);
	assert_int_equal(fs.poll_us, FS_POLL_DEFAULT);
	assert_false(fs.shared);
	assert_false(fs.acl);
	fs = sorted("", "");
	assert_int_equal(fs.cache, FS_CACHE_WRITEBACK);
}

static void test_workers_follow_the_cores(void **state)
{
	cpu_set_t all, one;
	int first = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(sorted(NULL, "").workers, 1);
	assert_int_equal(sorted("workers=3", "").workers, 3);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_true(sorted(NULL, "").workers >= 1);
	assert_true(sorted(NULL, "").workers <= CREW_MAX_SEATS);
	assert_true(CPU_COUNT(&all) < 4 || sorted(NULL, "").workers > 1);
}

static void test_ours_and_others(void **state)
{
	struct fs fs =
		sorted("allow_other,cache=writethrough,poll=20,,max_read=4096,workers=8,"
		       "acl,noexec",
		       ",allow_other,max_read=4096,noexec");

	(void)state;
	assert_int_equal(fs.cache, FS_CACHE_WRITETHROUGH);
	assert_int_equal(fs.poll_us, 20);
	assert_int_equal(fs.workers, 8);
	assert_true(fs.acl);
	fs = sorted("poll=off,cache=none", "");
	assert_int_equal(fs.poll_us, 0);
	assert_int_equal(fs.cache, FS_CACHE_NONE);
	assert_int_equal(sorted("direct_io", "").cache, FS_CACHE_NONE);
	assert_int_equal(sorted("direct_io,cache=writeback", "").cache,
			 FS_CACHE_WRITEBACK);
}

/* Nothing may be cached that others change. */
static void test_shared_is_never_cached(void **state)
{
	(void)state;
	assert_int_equal(sorted("sharedstorage", "").cache, FS_CACHE_NONE);
	assert_int_equal(sorted("sharedstorage,cache=writeback", "").cache,
			 FS_CACHE_NONE);
}

static void test_wrong_values_are_named(void **state)
{
	static const char *const wrong[] = {
		"poll=",	   "poll=-1",
		"poll=0",	   "poll=1001",
		"poll=5us",	   "poll= 5",
		"poll=0x5",	   "workers=0",
		"workers=9",	   "workers=",
		"workers=2x",	   "workers=+2",
		"cache=",	   "cache=auto",
		"cache=Writeback", "workers=99999999999999999999"};
	struct fs fs = {0};
	char *rest = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char why[256] = "";

		assert_int_equal(options_sort(wrong[i], &fs, &rest, why, sizeof(why)),
				 -EINVAL);
		assert_null(rest);
		assert_non_null(strstr(why, wrong[i]));
	}
}

/* Words that only begin like ours are FUSE's to refuse. */
static void test_similar_words_are_not_ours(void **state)
{
	(void)state;
	sorted("acls,sharedstorage=1,direct_io=1,cachex=none,poll,workers",
	       ",acls,sharedstorage=1,direct_io=1,cachex=none,poll,workers");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_workers_follow_the_cores),
		cmocka_unit_test(test_ours_and_others),
		cmocka_unit_test(test_shared_is_never_cached),
		cmocka_unit_test(test_wrong_values_are_named),
		cmocka_unit_test(test_similar_words_are_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
