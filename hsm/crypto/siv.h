/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-SIV (RFC 5297, OpenSSL's implementation): deterministic for names, and
 * misuse-resistant with a nonce as associated data for small blobs.
 */
#ifndef HSM_CRYPTO_SIV_H
#define HSM_CRYPTO_SIV_H

#include <stddef.h>
#include <stdint.h>

enum {
	SIV_KEY_BYTES = 64,
	SIV_TAG_BYTES = 16,
};

struct siv; /* one thread at a time */

/* An expanded key in secret memory; NULL when out of memory. Ended by siv_destroy(). */
struct siv *siv_create(const uint8_t key[SIV_KEY_BYTES]);
void siv_destroy(struct siv *siv); /* NULL is allowed */

/*
 * Writes tag(16) followed by @len bytes of ciphertext to @out (16 + @len bytes, must not
 * overlap @in). @ad is one associated-data string. 0 or -EIO. @len may be 0.
 */
int siv_seal(struct siv *siv, const void *ad, size_t ad_len, const void *in, size_t len,
	     uint8_t *out);

/*
 * The inverse: @len counts the tag. Writes @len - 16 bytes. -EBADMSG with @out wiped when
 * it does not verify or @len < 16.
 */
int siv_open(struct siv *siv, const void *ad, size_t ad_len, const void *in, size_t len,
	     uint8_t *out);

/* Known-answer test (RFC 5297 construction). 0 or -EIO. */
int siv_self_test(void);

#endif
