/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/aead.h"

enum { MAX_BYTES = 4200, CANARY_BYTES = 32, MAX_AAD = 60 };

static const size_t aad_lens[] = {28, 60};

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

static void *make_key(const struct aead_engine *e, unsigned seed)
{
	uint8_t raw[AEAD_KEY_BYTES];
	void *key = secmem_alloc(e->key_size);

	assert_non_null(key);
	fill(raw, sizeof(raw), seed);
	assert_int_equal(e->key_init(key, raw), 0);
	return key;
}

static void drop_key(const struct aead_engine *e, void *key)
{
	e->key_fini(key);
	secmem_free(key);
}

/* --- published vectors -------------------------------------------------------------- */

/* GCM specification, test cases 14 and 15; NIST CAVP gcmEncryptExtIV256. */
static const struct vector {
	const char *key, *nonce, *aad, *plain, *cipher, *tag;
} vectors[] = {
	{"0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "", "00000000000000000000000000000000",
	 "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	 "cafebabefacedbaddecaf888", "",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	 "b094dac5d93471bdec1a502270e3cc6c"},
	{"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
	 "516c33929df5a3284ff463d7", "", "", "", "bdc1ac884d332457a1d2664f168c76f0"},
	{"78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223",
	 "d79cf22d504cc793c3fb6c8a", "b96baa8c1c75a671bfb2d08d06be5f36", "", "",
	 "3e5d486aa2e30b22e040b85723a06e76"},
	{"31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22",
	 "0d18e06c7c725ac9e362e1ce", "", "2db5168e932556f8089a0622981d017d",
	 "fa4362189661d163fcd6a56d8bf0405a", "d636ac1bbedd5cc3ee727dc2ab4a9489"},
	{"92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b",
	 "ac93a1a6145299bde902f21a", "1e0889016f67601c8ebea4943bc23ad6",
	 "2d71bcfa914e4ac045b2aa60955fad24", "8995ae2e6df3dbf96fac7b7137bae67f",
	 "eca5aa77d51d4a0a14d9c51e1da474ab"},
};

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};

		out[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return len;
}

static void check_vector(const struct aead_engine *e, const struct vector *v)
{
	uint8_t raw[AEAD_KEY_BYTES], nonce[AEAD_NONCE_BYTES], aad[64], plain[64],
		cipher[64];
	uint8_t want[AEAD_TAG_BYTES], tag[AEAD_TAG_BYTES], out[64];
	size_t aad_len = unhex(v->aad, aad);
	size_t len = unhex(v->plain, plain);
	void *key = secmem_alloc(e->key_size);

	assert_non_null(key);
	unhex(v->key, raw);
	unhex(v->nonce, nonce);
	unhex(v->cipher, cipher);
	unhex(v->tag, want);
	assert_int_equal(e->key_init(key, raw), 0);
	assert_int_equal(e->seal(key, nonce, aad, aad_len, plain, len, out, tag), 0);
	assert_memory_equal(out, cipher, len);
	assert_memory_equal(tag, want, sizeof(tag));
	assert_int_equal(e->open(key, nonce, aad, aad_len, cipher, len, out, want), 0);
	assert_memory_equal(out, plain, len);
	drop_key(e, key);
}

static void test_published_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; aead_engines[i]; i++)
		for (size_t j = 0; j < sizeof(vectors) / sizeof(vectors[0]); j++)
			check_vector(aead_engines[i], &vectors[j]);
}

/* What a key was before, and did, makes no difference. */
static void test_keys_change(void **state)
{
	uint8_t raw[AEAD_KEY_BYTES], plain[100] = {7}, nonce[AEAD_NONCE_BYTES] = {1};
	uint8_t out[2][100], tag[2][AEAD_TAG_BYTES];

	(void)state;
	fill(raw, sizeof(raw), 2);
	for (size_t i = 0; aead_engines[i]; i++) {
		const struct aead_engine *e = aead_engines[i];
		void *keys[] = {make_key(e, 1), make_key(e, 2)};

		e->seal(keys[0], nonce, NULL, 0, plain, sizeof(plain), out[0], tag[0]);
		assert_int_equal(e->key_init(keys[0], raw), 0);
		for (int k = 0; k < 2; k++) {
			assert_int_equal(e->seal(keys[k], nonce, NULL, 0, plain,
						 sizeof(plain), out[k], tag[k]),
					 0);
			drop_key(e, keys[k]);
		}
		assert_memory_equal(out[0], out[1], sizeof(out[0]));
		assert_memory_equal(tag[0], tag[1], sizeof(tag[0]));
	}
}

/* --- every length, every engine ------------------------------------------------------
 */

struct buffers {
	uint8_t plain[MAX_BYTES];
	uint8_t sealed[MAX_BYTES];
	uint8_t out[MAX_BYTES + CANARY_BYTES];
	uint8_t aad[MAX_AAD];
	uint8_t nonce[AEAD_NONCE_BYTES];
	uint8_t tag[AEAD_TAG_BYTES];
};

/* Seals in place at an odd address; must give b->sealed and b->tag, and stay inside. */
static void check_engine(const struct aead_engine *e, void *key, struct buffers *b,
			 size_t len, size_t aad_len)
{
	static uint8_t shifted[MAX_BYTES + CANARY_BYTES + 1];
	uint8_t *buf = shifted + len % 2;
	uint8_t tag[AEAD_TAG_BYTES];

	memcpy(buf, b->plain, len);
	memset(buf + len, 0xee, CANARY_BYTES);
	assert_int_equal(e->seal(key, b->nonce, b->aad, aad_len, buf, len, buf, tag), 0);
	assert_memory_equal(buf, b->sealed, len);
	assert_memory_equal(tag, b->tag, sizeof(tag));
	assert_int_equal(e->open(key, b->nonce, b->aad, aad_len, buf, len, buf, tag), 0);
	assert_memory_equal(buf, b->plain, len);
	assert_true(is_filled(buf + len, CANARY_BYTES, 0xee));
}

static void check_length(void **keys, struct buffers *b, size_t len, size_t aad_len)
{
	const struct aead_engine *first = aead_engines[0];

	fill(b->nonce, sizeof(b->nonce), (unsigned)(len * 100 + aad_len));
	memset(b->out + len, 0xee, CANARY_BYTES);
	assert_int_equal(first->seal(keys[0], b->nonce, b->aad, aad_len, b->plain, len,
				     b->sealed, b->tag),
			 0);
	assert_int_equal(first->open(keys[0], b->nonce, b->aad, aad_len, b->sealed, len,
				     b->out, b->tag),
			 0);
	assert_memory_equal(b->out, b->plain, len);
	assert_true(is_filled(b->out + len, CANARY_BYTES, 0xee));
	for (size_t i = 0; aead_engines[i]; i++)
		check_engine(aead_engines[i], keys[i], b, len, aad_len);
}

static void test_engines_agree_on_every_length(void **state)
{
	static struct buffers b;
	void *keys[8];

	(void)state;
	fill(b.plain, sizeof(b.plain), 1);
	fill(b.aad, sizeof(b.aad), 2);
	for (size_t i = 0; aead_engines[i]; i++)
		keys[i] = make_key(aead_engines[i], 3);
	for (size_t len = 0; len <= MAX_BYTES; len++)
		for (size_t a = 0; a < 2; a++)
			check_length(keys, &b, len, aad_lens[a]);
	for (size_t i = 0; aead_engines[i]; i++)
		drop_key(aead_engines[i], keys[i]);
}

/* --- forgeries ------------------------------------------------------------------------
 */

static void expect_forgery(const struct aead_engine *e, void *key, struct buffers *b,
			   size_t len, size_t aad_len)
{
	memset(b->out, 0xa5, len);
	memset(b->out + len, 0xee, CANARY_BYTES);
	assert_int_equal(
		e->open(key, b->nonce, b->aad, aad_len, b->sealed, len, b->out, b->tag),
		-EBADMSG);
	assert_true(is_filled(b->out, len, 0));
	assert_true(is_filled(b->out + len, CANARY_BYTES, 0xee));
}

/* Flips each bit of @bytes in turn, or every 7th of a long string. */
static void flip_all(const struct aead_engine *e, void *key, struct buffers *b,
		     size_t len, size_t aad_len, uint8_t *bytes, size_t nr)
{
	for (size_t bit = 0; bit<nr * 8; bit += nr> 64 ? 7 : 1) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect_forgery(e, key, b, len, aad_len);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void check_forgeries(const struct aead_engine *e, size_t len)
{
	static struct buffers b;
	void *key = make_key(e, 10);
	void *other = make_key(e, 11);

	fill(b.plain, sizeof(b.plain), 4);
	fill(b.aad, sizeof(b.aad), 5);
	fill(b.nonce, sizeof(b.nonce), 6);
	assert_int_equal(e->seal(key, b.nonce, b.aad, 28, b.plain, len, b.sealed, b.tag),
			 0);
	flip_all(e, key, &b, len, 28, b.tag, sizeof(b.tag));
	flip_all(e, key, &b, len, 28, b.nonce, sizeof(b.nonce));
	flip_all(e, key, &b, len, 28, b.aad, 28);
	flip_all(e, key, &b, len, 28, b.sealed, len);
	expect_forgery(e, key, &b, len, 27);
	expect_forgery(e, key, &b, len, 29);
	expect_forgery(e, key, &b, len, 0);
	expect_forgery(e, key, &b, len + 1, 28);
	if (len > 0)
		expect_forgery(e, key, &b, len - 1, 28);
	expect_forgery(e, other, &b, len, 28);
	/* After all those, the key still opens what is right. */
	assert_int_equal(e->open(key, b.nonce, b.aad, 28, b.sealed, len, b.out, b.tag),
			 0);
	assert_memory_equal(b.out, b.plain, len);
	drop_key(e, key);
	drop_key(e, other);
}

static void test_every_forgery_is_refused_and_wiped(void **state)
{
	static const size_t lens[] = {0, 1, 15, 16, 17, 129, 1024, 4064};

	(void)state;
	for (size_t i = 0; aead_engines[i]; i++)
		for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++)
			check_forgeries(aead_engines[i], lens[j]);
}

/* --- keys ------------------------------------------------------------------------------
 */

static void test_many_keys_do_not_mix(void **state)
{
	enum { NR = 400 };
	const struct aead_engine *e = NULL;
	void *keys[NR];
	uint8_t tags[NR][AEAD_TAG_BYTES];
	uint8_t nonce[AEAD_NONCE_BYTES] = {7};
	uint8_t text[100], out[100];

	(void)state;
	fill(text, sizeof(text), 8);
	for (size_t k = 0; (e = aead_engines[k]); k++) {
		for (unsigned i = 0; i < NR; i++)
			keys[i] = make_key(e, i);
		for (unsigned i = 0; i < NR; i++)
			e->seal(keys[i], nonce, NULL, 0, text, sizeof(text), out,
				tags[i]);
		for (unsigned i = 1; i < NR; i++)
			assert_memory_not_equal(tags[i], tags[i - 1], AEAD_TAG_BYTES);
		/* A key made anew gives the same; one dropped disturbs no other. */
		for (unsigned i = 0; i < NR; i += 2) {
			drop_key(e, keys[i]);
			keys[i] = make_key(e, i);
		}
		for (unsigned i = 0; i < NR; i++) {
			uint8_t tag[AEAD_TAG_BYTES];

			e->seal(keys[i], nonce, NULL, 0, text, sizeof(text), out, tag);
			assert_memory_equal(tag, tags[i], AEAD_TAG_BYTES);
			drop_key(e, keys[i]);
		}
	}
}

static void test_key_fini_leaves_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; aead_engines[i]; i++) {
		const struct aead_engine *e = aead_engines[i];
		uint8_t *key = make_key(e, 20);

		assert_false(is_filled(key, e->key_size, 0));
		e->key_fini(key);
		assert_true(is_filled(key, e->key_size, 0));
		secmem_free(key);
	}
}

/* Seals and opens with a key of its own; non-NULL when all went well. */
static void *worker(void *arg)
{
	const struct aead_engine *e = arg;
	struct buffers *b = calloc(1, sizeof(*b));
	void *key = make_key(e, (unsigned)(uintptr_t)b);
	uintptr_t ok = 1;

	for (unsigned i = 0; i < 2000; i++) {
		fill(b->nonce, sizeof(b->nonce), i);
		ok &= e->seal(key, b->nonce, b->aad, 28, b->plain, 4064, b->sealed,
			      b->tag) == 0;
		ok &= e->open(key, b->nonce, b->aad, 28, b->sealed, 4064, b->out,
			      b->tag) == 0;
		b->tag[0] ^= 1;
		ok &= e->open(key, b->nonce, b->aad, 28, b->sealed, 4064, b->out,
			      b->tag) == -EBADMSG;
	}
	drop_key(e, key);
	free(b);
	return (void *)ok;
}

static void test_threads_with_own_keys(void **state)
{
	(void)state;
	for (size_t i = 0; aead_engines[i]; i++) {
		pthread_t threads[3];

		for (int t = 0; t < 3; t++)
			assert_int_equal(
				pthread_create(&threads[t], NULL, worker,
					       (void *)(uintptr_t)aead_engines[i]),
				0);
		for (int t = 0; t < 3; t++) {
			void *ok = NULL;

			assert_int_equal(pthread_join(threads[t], &ok), 0);
			assert_non_null(ok);
		}
	}
}

/* --- self-test and choice
 * ---------------------------------------------------------------- */

static const struct aead_engine *real;

static int seal_wrong_bit(void *key, const uint8_t *nonce, const void *aad,
			  size_t aad_len, const void *in, size_t len, void *out,
			  uint8_t *tag)
{
	int rc = real->seal(key, nonce, aad, aad_len, in, len, out, tag);

	if (len == 4032)
		tag[3] ^= 0x10;
	return rc;
}

static int open_anything(void *key, const uint8_t *nonce, const void *aad, size_t aad_len,
			 const void *in, size_t len, void *out, const uint8_t *tag)
{
	uint8_t made[AEAD_TAG_BYTES];

	/* CTR mode undoes itself; the tag is not looked at. */
	(void)tag;
	return real->seal(key, nonce, aad, aad_len, in, len, out, made);
}

static int open_unwiped(void *key, const uint8_t *nonce, const void *aad, size_t aad_len,
			const void *in, size_t len, void *out, const uint8_t *tag)
{
	int rc = real->open(key, nonce, aad, aad_len, in, len, out, tag);

	if (rc < 0 && len > 100)
		((uint8_t *)out)[100] = 1;
	return rc;
}

static int key_other(void *key, const uint8_t *raw)
{
	uint8_t wrong[AEAD_KEY_BYTES];

	memcpy(wrong, raw, sizeof(wrong));
	wrong[31] ^= 1;
	return real->key_init(key, wrong);
}

static void test_self_test_catches_broken_engines(void **state)
{
	struct aead_engine broken;

	(void)state;
	for (size_t i = 0; aead_engines[i]; i++) {
		real = aead_engines[i];
		assert_int_equal(aead_self_test(real), 0);
		broken = *real;
		broken.seal = seal_wrong_bit;
		assert_int_equal(aead_self_test(&broken), -EIO);
		broken = *real;
		broken.open = open_anything;
		assert_int_equal(aead_self_test(&broken), -EIO);
		broken = *real;
		broken.open = open_unwiped;
		assert_int_equal(aead_self_test(&broken), -EIO);
		broken = *real;
		broken.key_init = key_other;
		assert_int_equal(aead_self_test(&broken), -EIO);
	}
}

static void test_select(void **state)
{
	const struct aead_engine *best = aead_select(NULL);
	bool listed = false;

	(void)state;
	assert_non_null(best);
	for (size_t i = 0; aead_engines[i]; i++) {
		listed |= aead_engines[i] == best;
		assert_ptr_equal(aead_select(aead_engines[i]->name), aead_engines[i]);
	}
	assert_true(listed);
	errno = 0;
	assert_null(aead_select("rot13"));
	assert_int_equal(errno, ENOENT);
	errno = 0;
	assert_null(aead_select(""));
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_keys_change),
		cmocka_unit_test(test_engines_agree_on_every_length),
		cmocka_unit_test(test_every_forgery_is_refused_and_wiped),
		cmocka_unit_test(test_many_keys_do_not_mix),
		cmocka_unit_test(test_key_fini_leaves_nothing),
		cmocka_unit_test(test_threads_with_own_keys),
		cmocka_unit_test(test_self_test_catches_broken_engines),
		cmocka_unit_test(test_select),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
