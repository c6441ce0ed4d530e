/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hsm/crypto/siv.h"

enum { MAX_BYTES = 64 * 1024, CANARY_BYTES = 32 };

#define KEY_COUNTING                                                                     \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"               \
	"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"

/* Project Wycheproof, aes_siv_cmac: each has one string of associated data. */
static const struct vector {
	const char *key, *ad, *plain, *tag, *cipher;
} vectors[] = {
	/* nothing at all */
	{KEY_COUNTING, "", "", "6ff5b8ef53fc365606cd3ea047374885", ""},
	/* an empty message */
	{"eef6bcf16ef7ae17326a33f22d1406ec1bd3f866505f4b2e4fe8b45bd62ccbd8"
	 "5032a9899facf2db0c93a2345cb8892afb74db549781211dd8881a8c8e25c171",
	 "e941d15fadebaf4671e0e3d6d835f87bfb1cc7028f149930daa69c3de446c423", "",
	 "b754ecb55c1e124de0c8a973d033bd7f", ""},
	/* empty associated data */
	{KEY_COUNTING, "", "8dbfee9580e7e2bc66100a674497f4e1",
	 "00000000000000000000000000000000", "7ef8aa7e4dd49d9cfa09e9cb574fd90d"},
	{KEY_COUNTING, "", "72543a9a07a3c18a280060653432c05c",
	 "ffffffffffffffffffffffffffffffff", "3db09cc48f2780859351901d1014ae06"},
	/* a counter that wraps */
	{KEY_COUNTING, "000102030405060708090a0b0c0d0e0f",
	 "404aa73280eb830afde284ba6b18d48a", "ffffffffffffffffffffffffffffffff",
	 "0fae016c086fc20546b374c24f3ebad0"},
	{"e2c5662bb18fbb411d0304e4241db073fe60a4704fee290073513038a22b4cd5"
	 "42580b2b4edbc37e3de01c0cb61abcad46986cdc491ce9e5ae5af223ff58b953",
	 "fab912dec29a34aabfaef176", "0d", "1c6969ecb15741a9959b7a8492250e39", "1a"},
	{"139383f3f82dc78e0b380027f9e5fcd2ed23716404be5c554452e4dc73d23702"
	 "6594491820c6b8297185cc1fa84f49a5c7d7cd05c5de090ff1c3397bc2740437",
	 "d39da73ffc03ad0a9213ffc7", "48604944a80fadf50d55b87727934458c8",
	 "a9cf73951cb39823777f35c96c845169", "476e2ec2317cb6b8dd8b6172fdceabff9d"},
	{"97bfd0f3e9bb8167bbb55f4cdc14529d8307c0ec2c3fe8bc88522d05c1261ba4"
	 "60c9cb4116f630edd74d413ec417324c6e29b566fb2dd3df18e07b53b1f9f83b",
	 "1cda342c166ea208df5c56bcf995a59b",
	 "48ef10ccb1978b53ae73167abe1cc538fa80da3f5df93e3d5c4e9a9ad1f21350"
	 "4f22a694b98a35ad67620af9d8a29fc7",
	 "d55c5d0af0260dc1123adb5d7869201f",
	 "8ccee46deb66dd695c593cde1d7645c72796e42a1733b6705753631b9b626991"
	 "ddbd28473ce75cfdc4c14d20e66f212d"},
};

static const uint8_t some_key[SIV_KEY_BYTES] = {1, 2, 3};

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = (uint8_t)(seed >> 16);
	}
}

static bool is_filled(const uint8_t *p, size_t len, uint8_t byte)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};

		out[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return len;
}

static void check_vector(const struct vector *v)
{
	uint8_t key[SIV_KEY_BYTES], ad[64], plain[64], sealed[80], out[80];
	size_t ad_len = unhex(v->ad, ad);
	size_t len = unhex(v->plain, plain);
	struct siv *siv;

	unhex(v->key, key);
	unhex(v->tag, sealed);
	unhex(v->cipher, sealed + SIV_TAG_BYTES);
	siv = siv_create(key);
	assert_non_null(siv);
	/* Twice, for a context that is not put right after use. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(siv_seal(siv, ad, ad_len, plain, len, out), 0);
		assert_memory_equal(out, sealed, len + SIV_TAG_BYTES);
		assert_int_equal(
			siv_open(siv, ad, ad_len, sealed, len + SIV_TAG_BYTES, out), 0);
		assert_memory_equal(out, plain, len);
	}
	siv_destroy(siv);
}

static void test_published_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check_vector(&vectors[i]);
	assert_int_equal(siv_self_test(), 0);
}

static void check_length(struct siv *siv, const uint8_t *plain, size_t len, size_t ad_len)
{
	static uint8_t sealed[SIV_TAG_BYTES + MAX_BYTES + CANARY_BYTES];
	static uint8_t out[MAX_BYTES + CANARY_BYTES];
	uint8_t ad[64];

	fill(ad, sizeof(ad), (unsigned)len);
	memset(sealed + SIV_TAG_BYTES + len, 0xee, CANARY_BYTES);
	memset(out + len, 0xee, CANARY_BYTES);
	assert_int_equal(siv_seal(siv, ad, ad_len, plain, len, sealed), 0);
	assert_true(is_filled(sealed + SIV_TAG_BYTES + len, CANARY_BYTES, 0xee));
	assert_int_equal(siv_open(siv, ad, ad_len, sealed, SIV_TAG_BYTES + len, out), 0);
	assert_memory_equal(out, plain, len);
	assert_true(is_filled(out + len, CANARY_BYTES, 0xee));
}

static void test_every_name_length(void **state)
{
	static const size_t long_lens[] = {4095, 4096, 4097, MAX_BYTES - 1, MAX_BYTES};
	static uint8_t plain[MAX_BYTES];
	struct siv *siv = siv_create(some_key);

	(void)state;
	fill(plain, sizeof(plain), 1);
	assert_non_null(siv);
	for (size_t len = 0; len <= 600; len++)
		check_length(siv, plain, len, len % 3 == 0 ? 16 : len % 61);
	for (size_t i = 0; i < sizeof(long_lens) / sizeof(long_lens[0]); i++)
		check_length(siv, plain, long_lens[i], 16);
	siv_destroy(siv);
}

static void expect_forgery(struct siv *siv, const uint8_t *ad, size_t ad_len,
			   const uint8_t *in, size_t len)
{
	uint8_t out[512];
	size_t written = len < SIV_TAG_BYTES ? 0 : len - SIV_TAG_BYTES;

	memset(out, 0xa5, sizeof(out));
	assert_int_equal(siv_open(siv, ad, ad_len, in, len, out), -EBADMSG);
	assert_true(is_filled(out, written, 0));
	assert_true(is_filled(out + written, sizeof(out) - written, 0xa5));
}

static void check_forgeries(struct siv *siv, struct siv *other, size_t len)
{
	uint8_t plain[300], ad[16], sealed[SIV_TAG_BYTES + 300 + 1] = {0}, out[300];
	size_t total = SIV_TAG_BYTES + len;

	fill(plain, sizeof(plain), 2);
	fill(ad, sizeof(ad), 3);
	assert_int_equal(siv_seal(siv, ad, sizeof(ad), plain, len, sealed), 0);
	for (size_t bit = 0; bit < total * 8; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect_forgery(siv, ad, sizeof(ad), sealed, total);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < sizeof(ad) * 8; bit++) {
		ad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect_forgery(siv, ad, sizeof(ad), sealed, total);
		ad[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < total; cut++)
		expect_forgery(siv, ad, sizeof(ad), sealed, cut);
	expect_forgery(siv, ad, sizeof(ad), sealed, total + 1);
	expect_forgery(siv, ad, sizeof(ad) - 1, sealed, total);
	expect_forgery(siv, ad, 0, sealed, total);
	expect_forgery(other, ad, sizeof(ad), sealed, total);
	/* After all those, the right one still opens. */
	assert_int_equal(siv_open(siv, ad, sizeof(ad), sealed, total, out), 0);
	assert_memory_equal(out, plain, len);
}

static void test_every_forgery_is_refused_and_wiped(void **state)
{
	static const size_t lens[] = {0, 1, 15, 16, 17, 255};
	uint8_t second_half[SIV_KEY_BYTES];
	struct siv *siv = siv_create(some_key);
	struct siv *other;

	(void)state;
	memcpy(second_half, some_key, sizeof(second_half));
	second_half[SIV_KEY_BYTES / 2 - 1] ^= 1;
	other = siv_create(second_half);
	assert_non_null(siv);
	assert_non_null(other);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		check_forgeries(siv, other, lens[i]);
	siv_destroy(siv);
	siv_destroy(other);
	siv_destroy(NULL);
}

/* The whole key counts: the first half makes the tag, the second the stream. */
static void test_second_half_of_key_counts(void **state)
{
	uint8_t key[SIV_KEY_BYTES];
	uint8_t a[SIV_TAG_BYTES + 20], b[SIV_TAG_BYTES + 20];
	uint8_t plain[20] = {9};
	struct siv *siv = siv_create(some_key);
	struct siv *other;

	(void)state;
	memcpy(key, some_key, sizeof(key));
	key[SIV_KEY_BYTES - 1] ^= 1;
	other = siv_create(key);
	assert_int_equal(siv_seal(siv, "d", 1, plain, sizeof(plain), a), 0);
	assert_int_equal(siv_seal(other, "d", 1, plain, sizeof(plain), b), 0);
	assert_memory_equal(a, b, SIV_TAG_BYTES);
	assert_memory_not_equal(a + SIV_TAG_BYTES, b + SIV_TAG_BYTES, 20);
	expect_forgery(other, (const uint8_t *)"d", 1, a, sizeof(a));
	siv_destroy(siv);
	siv_destroy(other);
}

/* Deterministic, whatever the context was used for before. */
static void test_history_does_not_matter(void **state)
{
	uint8_t first[SIV_TAG_BYTES + 30], again[SIV_TAG_BYTES + 30];
	uint8_t empty[SIV_TAG_BYTES], out[64];
	uint8_t plain[30] = {4};
	struct siv *siv = siv_create(some_key);

	(void)state;
	assert_int_equal(siv_seal(siv, "ad", 2, plain, sizeof(plain), first), 0);
	assert_int_equal(siv_seal(siv, "other", 5, plain, 7, out), 0);
	assert_int_equal(siv_seal(siv, "ad", 2, NULL, 0, empty), 0);
	assert_int_equal(siv_open(siv, "no", 2, first, sizeof(first), out), -EBADMSG);
	assert_int_equal(siv_open(siv, "ad", 2, empty, sizeof(empty), NULL), 0);
	assert_int_equal(siv_seal(siv, "ad", 2, plain, sizeof(plain), again), 0);
	assert_memory_equal(first, again, sizeof(first));
	/* No pointer is the empty string, for either length of message. */
	assert_int_equal(siv_seal(siv, NULL, 0, plain, sizeof(plain), first), 0);
	assert_int_equal(siv_open(siv, "", 0, first, sizeof(first), out), 0);
	assert_int_equal(siv_seal(siv, NULL, 0, NULL, 0, empty), 0);
	assert_int_equal(siv_open(siv, "", 0, empty, sizeof(empty), NULL), 0);
	siv_destroy(siv);
}

static void *worker(void *arg)
{
	struct siv *siv = siv_create(some_key);
	uint8_t plain[40], sealed[SIV_TAG_BYTES + 40], out[40];
	uintptr_t ok = siv != NULL;

	for (unsigned i = 0; ok && i < 2000; i++) {
		fill(plain, sizeof(plain), i + (unsigned)(uintptr_t)arg);
		ok &= siv_seal(siv, "x", 1, plain, sizeof(plain), sealed) == 0;
		ok &= siv_open(siv, "x", 1, sealed, sizeof(sealed), out) == 0;
		ok &= memcmp(plain, out, sizeof(out)) == 0;
	}
	siv_destroy(siv);
	return (void *)ok;
}

static void test_threads_with_own_contexts(void **state)
{
	pthread_t threads[3];

	(void)state;
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
	for (int i = 0; i < 3; i++) {
		void *ok = NULL;

		assert_int_equal(pthread_join(threads[i], &ok), 0);
		assert_non_null(ok);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_every_name_length),
		cmocka_unit_test(test_every_forgery_is_refused_and_wiped),
		cmocka_unit_test(test_second_half_of_key_counts),
		cmocka_unit_test(test_history_does_not_matter),
		cmocka_unit_test(test_threads_with_own_contexts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
