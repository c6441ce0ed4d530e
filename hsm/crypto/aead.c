/* SPDX-License-Identifier: Apache-2.0 */
/* Self-tests of the engines and the choice between them. */
#include "hsm/crypto/aead.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/aead_engines.h"

enum {
	PAGE_PLAIN_BYTES = 4064,
	NR_ROUNDS = 16,
	NR_SEALS = 32, /* per round: 40 to 100 microseconds */
};

const struct aead_engine *const aead_engines[] = {
#ifdef HAVE_IPSEC_MB
	&aead_ipsecmb,
#endif
	&aead_openssl,
	NULL,
};

/* --- known answers --------------------------------------------------------------- */

/*
 * Test cases 13 and 16 of "The Galois/Counter Mode of Operation" (McGrew, Viega), the
 * examples SP 800-38D refers to.
 */
static const uint8_t zero_key[AEAD_KEY_BYTES];
static const uint8_t zero_nonce[AEAD_NONCE_BYTES];
static const uint8_t empty_tag[AEAD_TAG_BYTES] = {
	0x53, 0x0f, 0x8a, 0xfb, 0xc7, 0x45, 0x36, 0xb9,
	0xa9, 0x63, 0xb4, 0xf1, 0xc4, 0xcb, 0x73, 0x8b,
};

static const uint8_t kat_key[AEAD_KEY_BYTES] = {
	0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f,
	0x94, 0x67, 0x30, 0x83, 0x08, 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65,
	0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
};
static const uint8_t kat_nonce[AEAD_NONCE_BYTES] = {
	0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88,
};
static const uint8_t kat_aad[] = {
	0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
	0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2,
};
static const uint8_t kat_plain[] = {
	0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5,
	0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda,
	0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95,
	0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
	0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39,
};
static const uint8_t kat_cipher[sizeof(kat_plain)] = {
	0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3,
	0x2a, 0x84, 0x42, 0x7d, 0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9,
	0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55, 0xd1, 0xaa, 0x8c, 0xb0, 0x8e, 0x48,
	0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56, 0x82, 0x88, 0x38,
	0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62,
};
static const uint8_t kat_tag[AEAD_TAG_BYTES] = {
	0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68,
	0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55, 0x1b,
};

/*
 * Whole pages, sealed under kat_key and kat_nonce: plaintext byte i is 7 i, associated
 * data byte i is i. The tags are those on which two independent implementations agree.
 */
static const struct page_kat {
	size_t len;
	size_t aad_len;
	uint8_t tag[AEAD_TAG_BYTES];
} page_kats[] = {
	{4064,
	 28,
	 {0xdf, 0x07, 0xc3, 0xa2, 0xd2, 0x19, 0xd3, 0x66, 0x3e, 0x7c, 0xa6, 0x76, 0xee,
	  0xb9, 0x96, 0x5b}},
	{4032,
	 60,
	 {0x50, 0xb6, 0x4c, 0x76, 0x9c, 0xc4, 0x10, 0x55, 0x6a, 0xc7, 0xde, 0x93, 0x80,
	  0xc7, 0x92, 0x97}},
};

static int expect_forgery(const struct aead_engine *engine, void *key, const void *aad,
			  size_t aad_len, uint8_t *buf, size_t len,
			  const uint8_t tag[AEAD_TAG_BYTES])
{
	uint8_t bad[AEAD_TAG_BYTES];

	memcpy(bad, tag, sizeof(bad));
	bad[AEAD_TAG_BYTES - 1] ^= 0x01;
	if (engine->open(key, kat_nonce, aad, aad_len, buf, len, buf, bad) != -EBADMSG)
		return -EIO;
	for (size_t i = 0; i < len; i++)
		if (buf[i] != 0)
			return -EIO;
	return 0;
}

static int test_published(const struct aead_engine *engine, void *key)
{
	uint8_t out[sizeof(kat_plain)];
	uint8_t back[sizeof(kat_plain)];
	uint8_t tag[AEAD_TAG_BYTES];

	if (engine->seal(key, kat_nonce, kat_aad, sizeof(kat_aad), kat_plain,
			 sizeof(kat_plain), out, tag) < 0 ||
	    memcmp(out, kat_cipher, sizeof(out)) != 0 ||
	    memcmp(tag, kat_tag, sizeof(tag)) != 0)
		return -EIO;
	if (engine->open(key, kat_nonce, kat_aad, sizeof(kat_aad), out, sizeof(out), back,
			 tag) < 0 ||
	    memcmp(back, kat_plain, sizeof(back)) != 0)
		return -EIO;
	return expect_forgery(engine, key, kat_aad, sizeof(kat_aad), out, sizeof(out),
			      tag);
}

static int test_page(const struct aead_engine *engine, void *key,
		     const struct page_kat *kat)
{
	uint8_t buf[PAGE_PLAIN_BYTES];
	uint8_t aad[64];
	uint8_t tag[AEAD_TAG_BYTES];

	for (size_t i = 0; i < kat->len; i++)
		buf[i] = (uint8_t)(7 * i);
	for (size_t i = 0; i < kat->aad_len; i++)
		aad[i] = (uint8_t)i;
	if (engine->seal(key, kat_nonce, aad, kat->aad_len, buf, kat->len, buf, tag) <
		    0 ||
	    memcmp(tag, kat->tag, sizeof(tag)) != 0 ||
	    engine->open(key, kat_nonce, aad, kat->aad_len, buf, kat->len, buf, tag) < 0)
		return -EIO;
	for (size_t i = 0; i < kat->len; i++)
		if (buf[i] != (uint8_t)(7 * i))
			return -EIO;
	return expect_forgery(engine, key, aad, kat->aad_len, buf, kat->len, tag);
}

static int test_empty(const struct aead_engine *engine, void *key)
{
	uint8_t tag[AEAD_TAG_BYTES];

	if (engine->seal(key, zero_nonce, NULL, 0, NULL, 0, NULL, tag) < 0 ||
	    memcmp(tag, empty_tag, sizeof(tag)) != 0 ||
	    engine->open(key, zero_nonce, NULL, 0, NULL, 0, NULL, tag) < 0)
		return -EIO;
	return 0;
}

int aead_self_test(const struct aead_engine *engine)
{
	void *key = secmem_alloc(engine->key_size);
	int rc;

	if (!key)
		return -EIO;
	rc = engine->key_init(key, zero_key);
	if (rc < 0)
		goto out;
	rc = test_empty(engine, key);
	engine->key_fini(key);
	if (rc < 0 || (rc = engine->key_init(key, kat_key)) < 0)
		goto out;
	rc = test_published(engine, key);
	for (size_t i = 0; rc == 0 && i < sizeof(page_kats) / sizeof(page_kats[0]); i++)
		rc = test_page(engine, key, &page_kats[i]);
	engine->key_fini(key);
out:
	secmem_free(key);
	return rc == 0 || rc == -ENOTSUP ? rc : -EIO;
}

/* --- choice ---------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Nanoseconds of the fastest round, the one least disturbed; UINT64_MAX on failure. */
static uint64_t measure(const struct aead_engine *engine)
{
	uint8_t page[PAGE_PLAIN_BYTES] = {0};
	uint8_t tag[AEAD_TAG_BYTES];
	uint64_t best = UINT64_MAX;
	void *key = secmem_alloc(engine->key_size);

	if (!key || engine->key_init(key, zero_key) < 0)
		goto out;
	for (int round = 0; round < NR_ROUNDS; round++) {
		uint64_t start = now_ns();
		uint64_t spent;

		for (int i = 0; i < NR_SEALS; i++)
			engine->seal(key, zero_nonce, kat_aad, sizeof(kat_aad), page,
				     sizeof(page), page, tag);
		spent = now_ns() - start;
		if (spent < best)
			best = spent;
	}
	engine->key_fini(key);
out:
	secmem_free(key);
	return best;
}

static const struct aead_engine *select_fastest(void)
{
	const struct aead_engine *best = NULL;
	uint64_t best_ns = UINT64_MAX;

	for (size_t i = 0; aead_engines[i]; i++) {
		int rc = aead_self_test(aead_engines[i]);
		uint64_t ns;

		if (rc == -ENOTSUP)
			continue;
		if (rc < 0) {
			errno = EIO;
			return NULL;
		}
		ns = measure(aead_engines[i]);
		if (ns < best_ns) {
			best_ns = ns;
			best = aead_engines[i];
		}
	}
	if (!best)
		errno = EIO;
	return best;
}

const struct aead_engine *aead_select(const char *name)
{
	if (!name)
		return select_fastest();
	for (size_t i = 0; aead_engines[i]; i++) {
		int rc;

		if (strcmp(aead_engines[i]->name, name) != 0)
			continue;
		rc = aead_self_test(aead_engines[i]);
		if (rc == 0)
			return aead_engines[i];
		errno = rc == -ENOTSUP ? ENOENT : EIO;
		return NULL;
	}
	errno = ENOENT;
	return NULL;
}
