/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD */
#include <openssl/rand.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/random.h"

enum { NONCE_BYTES = 12, NR_NONCES = 100000, POOL_BYTES = 4096 };

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* --- a generator that fails -----------------------------------------------------------
 */

static int fail_bytes(unsigned char *buf, int num)
{
	(void)buf;
	(void)num;
	return 0;
}

static const RAND_METHOD failing = {.bytes = fail_bytes};

/* Nothing that could be taken for random bytes comes back. */
static void expect_failure(struct random_pool *pool, size_t len)
{
	static uint8_t out[2 * POOL_BYTES];

	memset(out, 0xa5, sizeof(out));
	assert_int_equal(random_draw(pool, out, len), -EIO);
	assert_true(is_zero(out, len));
}

static void test_failing_generator_is_reported(void **state)
{
	struct random_pool *fresh = random_create();
	struct random_pool *used = random_create();
	uint8_t out[POOL_BYTES];

	(void)state;
	assert_int_equal(random_draw(used, out, POOL_BYTES - 6), 0);
	RAND_set_rand_method(&failing);
	expect_failure(fresh, 12);
	expect_failure(fresh, sizeof(out) + 1);
	expect_failure(used, 12);
	/* Six bytes were left before; the failed refill must not have left zeros. */
	expect_failure(used, 6);
	memset(out, 0xa5, sizeof(out));
	assert_int_equal(random_bytes(out, 32), -EIO);
	assert_true(is_zero(out, 32));
	RAND_set_rand_method(NULL);
	assert_int_equal(random_draw(used, out, 32), 0);
	assert_false(is_zero(out, 16));
	assert_false(is_zero(out + 16, 16));
	random_destroy(fresh);
	random_destroy(used);
}

/* --- one that works -------------------------------------------------------------------
 */

static int compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, NONCE_BYTES);
}

static void test_no_nonce_twice(void **state)
{
	static uint8_t nonces[NR_NONCES][NONCE_BYTES];
	struct random_pool *pools[2] = {random_create(), random_create()};

	(void)state;
	for (int i = 0; i < NR_NONCES; i++)
		assert_int_equal(random_draw(pools[i % 2], nonces[i], NONCE_BYTES), 0);
	qsort(nonces, NR_NONCES, NONCE_BYTES, compare_nonces);
	for (int i = 1; i < NR_NONCES; i++)
		assert_memory_not_equal(nonces[i], nonces[i - 1], NONCE_BYTES);
	random_destroy(pools[0]);
	random_destroy(pools[1]);
	random_destroy(NULL);
}

/* Whatever is left in the pool, exactly @len bytes are written and all of them drawn. */
static void check_draw(struct random_pool *pool, size_t len)
{
	static uint8_t a[3 * POOL_BYTES], b[3 * POOL_BYTES];

	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	assert_int_equal(random_draw(pool, a, len), 0);
	assert_int_equal(random_draw(pool, b, len), 0);
	assert_true(is_zero(a + len, sizeof(a) - len));
	for (size_t i = 0; i + 16 <= len; i += 16) {
		assert_false(is_zero(a + i, 16));
		assert_memory_not_equal(a + i, b + i, 16);
	}
	if (len >= 16) {
		assert_false(is_zero(a + len - 16, 16));
		assert_memory_not_equal(a + len - 16, b + len - 16, 16);
	}
}

static void test_sizes_around_the_pool(void **state)
{
	static const size_t lens[] = {
		0,
		1,
		16,
		100,
		POOL_BYTES - 1,
		POOL_BYTES,
		POOL_BYTES + 1,
		2 * POOL_BYTES,
		3 * POOL_BYTES,
	};
	struct random_pool *pool = random_create();
	uint8_t some[7];

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		check_draw(pool, lens[i]);
		assert_int_equal(random_draw(pool, some, sizeof(some)), 0);
		check_draw(pool, lens[i]);
	}
	random_destroy(pool);
}

struct search {
	const uint8_t *what;
	size_t len;
	int found;
};

static void search_chunk(const void *chunk, size_t len, void *arg)
{
	struct search *s = arg;

	s->found += memmem(chunk, len, s->what, s->len) != NULL;
}

static void test_drawn_bytes_leave_the_pool(void **state)
{
	struct random_pool *pool = random_create();
	uint8_t drawn[32];
	struct search s = {drawn, sizeof(drawn), 0};

	(void)state;
	for (int i = 0; i < 200; i++) {
		assert_int_equal(random_draw(pool, drawn, sizeof(drawn)), 0);
		secmem_visit(search_chunk, &s);
		assert_int_equal(s.found, 0);
	}
	random_destroy(pool);
}

static void test_keys_differ(void **state)
{
	uint8_t a[32], b[32];

	(void)state;
	assert_int_equal(random_bytes(a, sizeof(a)), 0);
	assert_int_equal(random_bytes(b, sizeof(b)), 0);
	assert_false(is_zero(a, sizeof(a)));
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failing_generator_is_reported),
		cmocka_unit_test(test_no_nonce_twice),
		cmocka_unit_test(test_sizes_around_the_pool),
		cmocka_unit_test(test_drawn_bytes_leave_the_pool),
		cmocka_unit_test(test_keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
