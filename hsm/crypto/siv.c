/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/crypto/siv.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "hsm/api/secmem.h"

enum { BLOCK_BYTES = 16 };

/*
 * OpenSSL's SIV contexts serve one message each. Copying a keyed one costs a third of
 * keying another.
 */
struct siv {
	EVP_CIPHER_CTX *keyed;
	EVP_CIPHER_CTX *work;
	EVP_MAC_CTX *cmac; /* keyed with the first half: the empty message only */
};

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *cipher; /* these two for the life of the process */
static EVP_MAC *mac;

static void fetch(void)
{
	cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
}

static int cmac_init(EVP_MAC_CTX *ctx, const uint8_t *key)
{
	char name[] = "AES-256-CBC";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_CIPHER, name, sizeof(name) - 1),
		OSSL_PARAM_END,
	};

	return EVP_MAC_init(ctx, key, SIV_KEY_BYTES / 2, params);
}

struct siv *siv_create(const uint8_t key[SIV_KEY_BYTES])
{
	struct siv *siv = calloc(1, sizeof(*siv));

	if (!siv)
		return NULL;
	pthread_once(&fetch_once, fetch);
	if (!cipher || !mac)
		goto out;
	siv->keyed = EVP_CIPHER_CTX_new();
	siv->work = EVP_CIPHER_CTX_new();
	siv->cmac = EVP_MAC_CTX_new(mac);
	if (siv->keyed && siv->work && siv->cmac &&
	    EVP_CipherInit_ex2(siv->keyed, cipher, key, NULL, 1, NULL) == 1 &&
	    cmac_init(siv->cmac, key) == 1 &&
	    /* so that the memory for it is there */
	    EVP_CIPHER_CTX_copy(siv->work, siv->keyed) == 1)
		return siv;
out:
	siv_destroy(siv);
	return NULL;
}

void siv_destroy(struct siv *siv)
{
	if (!siv)
		return;
	EVP_CIPHER_CTX_free(siv->keyed);
	EVP_CIPHER_CTX_free(siv->work);
	EVP_MAC_CTX_free(siv->cmac);
	free(siv);
}

/* --- the empty message ----------------------------------------------------------- */

static int cmac(struct siv *siv, const void *in, size_t len, uint8_t out[BLOCK_BYTES])
{
	size_t n;

	if (EVP_MAC_init(siv->cmac, NULL, 0, NULL) != 1 ||
	    EVP_MAC_update(siv->cmac, in, len) != 1 ||
	    EVP_MAC_final(siv->cmac, out, &n, BLOCK_BYTES) != 1 || n != BLOCK_BYTES)
		return -EIO;
	return 0;
}

/* dbl() of RFC 5297 2.3, without a branch on the value. */
static void dbl(uint8_t block[BLOCK_BYTES])
{
	uint8_t carry = block[0] >> 7;

	for (int i = 0; i < BLOCK_BYTES - 1; i++)
		block[i] = (uint8_t)(block[i] << 1 | block[i + 1] >> 7);
	block[BLOCK_BYTES - 1] = (uint8_t)(block[BLOCK_BYTES - 1] << 1 ^ (carry * 0x87));
}

/*
 * S2V of RFC 5297 2.4 over @ad and an empty last string, which OpenSSL 3.0 takes for a
 * message that never came.
 */
static int empty_tag(struct siv *siv, const void *ad, size_t ad_len,
		     uint8_t tag[SIV_TAG_BYTES])
{
	uint8_t d[BLOCK_BYTES] = {0};
	uint8_t m[BLOCK_BYTES];
	int rc = -EIO;

	if (cmac(siv, d, sizeof(d), d) < 0 || cmac(siv, ad, ad_len, m) < 0)
		goto out;
	dbl(d);
	for (int i = 0; i < BLOCK_BYTES; i++)
		d[i] ^= m[i];
	dbl(d);
	d[0] ^= 0x80;
	rc = cmac(siv, d, sizeof(d), tag);
out:
	secmem_wipe(d, sizeof(d));
	secmem_wipe(m, sizeof(m));
	return rc;
}

/* --- messages -------------------------------------------------------------------- */

/* Readies the work context and takes in the associated data. */
static int start(struct siv *siv, int encrypt, const void *ad, size_t ad_len)
{
	/* A null string would mean no string, which is not the same as an empty one. */
	static const uint8_t nothing;
	int n;

	if (ad_len > INT_MAX)
		return -EIO;
	if (EVP_CIPHER_CTX_copy(siv->work, siv->keyed) != 1 ||
	    EVP_CipherInit_ex2(siv->work, NULL, NULL, NULL, encrypt, NULL) != 1 ||
	    EVP_CipherUpdate(siv->work, NULL, &n, ad_len ? ad : &nothing, (int)ad_len) !=
		    1)
		return -EIO;
	return 0;
}

static int finish(struct siv *siv, const void *in, size_t len, uint8_t *out)
{
	uint8_t none[1];
	int n;

	if (len > INT_MAX || EVP_CipherUpdate(siv->work, out, &n, in, (int)len) != 1 ||
	    EVP_CipherFinal_ex(siv->work, none, &n) != 1)
		return -EIO;
	return 0;
}

int siv_seal(struct siv *siv, const void *ad, size_t ad_len, const void *in, size_t len,
	     uint8_t *out)
{
	if (len == 0)
		return empty_tag(siv, ad, ad_len, out);
	if (start(siv, 1, ad, ad_len) < 0 ||
	    finish(siv, in, len, out + SIV_TAG_BYTES) < 0 ||
	    EVP_CIPHER_CTX_ctrl(siv->work, EVP_CTRL_AEAD_GET_TAG, SIV_TAG_BYTES, out) !=
		    1)
		return -EIO;
	return 0;
}

static int open_empty(struct siv *siv, const void *ad, size_t ad_len, const uint8_t *in)
{
	uint8_t tag[SIV_TAG_BYTES];
	int rc = -EBADMSG;

	if (empty_tag(siv, ad, ad_len, tag) == 0 &&
	    secmem_compare(tag, in, SIV_TAG_BYTES) == 0)
		rc = 0;
	secmem_wipe(tag, sizeof(tag));
	return rc;
}

int siv_open(struct siv *siv, const void *ad, size_t ad_len, const void *in, size_t len,
	     uint8_t *out)
{
	const uint8_t *bytes = in;

	if (len < SIV_TAG_BYTES)
		return -EBADMSG;
	len -= SIV_TAG_BYTES;
	if (len == 0)
		return open_empty(siv, ad, ad_len, bytes);
	if (start(siv, 0, ad, ad_len) == 0 &&
	    EVP_CIPHER_CTX_ctrl(siv->work, EVP_CTRL_AEAD_SET_TAG, SIV_TAG_BYTES,
				(void *)(uintptr_t)bytes) == 1 &&
	    finish(siv, bytes + SIV_TAG_BYTES, len, out) == 0)
		return 0;
	secmem_wipe(out, len);
	return -EBADMSG;
}

/* --- self-test ------------------------------------------------------------------- */

/* The key of RFC 5297 A.1 stretched to 512 bits, with that example's strings. */
static const uint8_t kat_key[SIV_KEY_BYTES] = {
	0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3,
	0xf2, 0xf1, 0xf0, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9,
	0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6,
	0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0xff, 0xfe, 0xfd, 0xfc,
	0xfb, 0xfa, 0xf9, 0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0xf1, 0xf0,
};
static const uint8_t kat_ad[] = {
	0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b,
	0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
};
static const uint8_t kat_plain[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
				    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};
static const uint8_t kat_sealed[SIV_TAG_BYTES + sizeof(kat_plain)] = {
	0x72, 0x4d, 0xfb, 0x2e, 0xaf, 0x94, 0xdb, 0xb1, 0x9b, 0x0b,
	0xa3, 0xa2, 0x99, 0xa0, 0x80, 0x1e, 0xf3, 0xb0, 0x5a, 0x55,
	0x49, 0x8e, 0xc2, 0x55, 0x26, 0x90, 0xb8, 0x98, 0x10, 0xe4,
};

static int self_test(struct siv *siv)
{
	uint8_t buf[sizeof(kat_sealed)];
	uint8_t plain[sizeof(kat_plain)];

	if (siv_seal(siv, kat_ad, sizeof(kat_ad), kat_plain, sizeof(kat_plain), buf) <
		    0 ||
	    memcmp(buf, kat_sealed, sizeof(buf)) != 0)
		return -EIO;
	if (siv_open(siv, kat_ad, sizeof(kat_ad), buf, sizeof(buf), plain) < 0 ||
	    memcmp(plain, kat_plain, sizeof(plain)) != 0)
		return -EIO;
	buf[0] ^= 1;
	if (siv_open(siv, kat_ad, sizeof(kat_ad), buf, sizeof(buf), plain) != -EBADMSG)
		return -EIO;
	if (siv_seal(siv, kat_ad, sizeof(kat_ad), NULL, 0, buf) < 0 ||
	    siv_open(siv, kat_ad, sizeof(kat_ad), buf, SIV_TAG_BYTES, plain) < 0)
		return -EIO;
	return 0;
}

int siv_self_test(void)
{
	struct siv *siv = siv_create(kat_key);
	int rc = siv ? self_test(siv) : -EIO;

	siv_destroy(siv);
	return rc;
}
