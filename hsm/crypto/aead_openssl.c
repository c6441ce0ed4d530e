/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The portable engine. The key schedule lives in OpenSSL's own memory, which is secret
 * once secmem_adopt_openssl() has been called; a call only sets a new nonce.
 */
#include "hsm/crypto/aead_engines.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>

#include <openssl/evp.h>

#include "hsm/api/secmem.h"

struct openssl_key {
	EVP_CIPHER_CTX *ctx;
};

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *cipher; /* for the life of the process */

static void fetch(void)
{
	cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

static void openssl_key_fini(void *key)
{
	struct openssl_key *k = key;

	EVP_CIPHER_CTX_free(k->ctx); /* cleanses the schedule */
	k->ctx = NULL;
}

static int openssl_key_init(void *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	struct openssl_key *k = key;
	bool is_new = !k->ctx;

	pthread_once(&fetch_once, fetch);
	if (is_new && cipher)
		k->ctx = EVP_CIPHER_CTX_new();
	/* a context that is given its cipher again begins with new memory */
	if (k->ctx &&
	    EVP_CipherInit_ex2(k->ctx, is_new ? cipher : NULL, raw, NULL, 1, NULL) == 1)
		return 0;
	openssl_key_fini(key);
	return -ENOMEM;
}

/* Nonce, associated data, data; all but the tag. */
static int run(EVP_CIPHER_CTX *ctx, int encrypt, const uint8_t *nonce, const void *aad,
	       size_t aad_len, const void *in, size_t len, void *out)
{
	int n;

	if (aad_len > INT_MAX || len > INT_MAX)
		return -EIO;
	if (EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, encrypt, NULL) != 1)
		return -EIO;
	if (aad_len && EVP_CipherUpdate(ctx, NULL, &n, aad, (int)aad_len) != 1)
		return -EIO;
	if (len && EVP_CipherUpdate(ctx, out, &n, in, (int)len) != 1)
		return -EIO;
	return 0;
}

static int openssl_seal(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
			size_t aad_len, const void *in, size_t len, void *out,
			uint8_t tag[AEAD_TAG_BYTES])
{
	struct openssl_key *k = key;
	uint8_t none[1]; /* GCM has no last block, but the call wants a buffer */
	int n;

	if (run(k->ctx, 1, nonce, aad, aad_len, in, len, out) < 0 ||
	    EVP_CipherFinal_ex(k->ctx, none, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, tag) != 1)
		return -EIO;
	return 0;
}

static int openssl_open(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
			size_t aad_len, const void *in, size_t len, void *out,
			const uint8_t tag[AEAD_TAG_BYTES])
{
	struct openssl_key *k = key;
	uint8_t none[1];
	int n;

	if (run(k->ctx, 0, nonce, aad, aad_len, in, len, out) == 0 &&
	    EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES,
				(void *)(uintptr_t)tag) == 1 &&
	    EVP_CipherFinal_ex(k->ctx, none, &n) == 1)
		return 0;
	secmem_wipe(out, len);
	return -EBADMSG;
}

const struct aead_engine aead_openssl = {
	.name = "openssl",
	.key_size = sizeof(struct openssl_key),
	.key_init = openssl_key_init,
	.key_fini = openssl_key_fini,
	.seal = openssl_seal,
	.open = openssl_open,
};
