/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM (NIST SP 800-38D) behind one interface with two engines, libipsec-mb
 * and OpenSSL. Same bytes from either.
 *
 * Nonces are random 96-bit values: at most 2^32 seals under one key (SP 800-38D
 * 8.3). Callers keep to that by using a key per file.
 */
#ifndef HSM_CRYPTO_AEAD_H
#define HSM_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

enum {
	AEAD_KEY_BYTES = 32,
	AEAD_NONCE_BYTES = 12,
	AEAD_TAG_BYTES = 16,
};

/*
 * An expanded key. @size bytes of secret memory (secmem_alloc, 64-aligned) that the
 * engine owns between key_init and key_fini. An expanded key may be used by one thread
 * at a time.
 */
struct aead_engine {
	const char *name; /* "ipsec-mb" or "openssl" */
	size_t key_size;  /* bytes of an expanded key */

	/*
	 * Expands @raw into @key, which is zeros, or has been expanded before and is
	 * changed: that takes no memory. 0, -ENOMEM, or -ENOTSUP on a CPU it is not made
	 * for; @key is as after key_fini then.
	 */
	int (*key_init)(void *key, const uint8_t raw[AEAD_KEY_BYTES]);

	/* Releases and wipes what key_init made. */
	void (*key_fini)(void *key);

	/* Encrypts @len bytes; @in may equal @out, or not overlap it. 0 or -EIO. */
	int (*seal)(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
		    size_t aad_len, const void *in, size_t len, void *out,
		    uint8_t tag[AEAD_TAG_BYTES]);

	/* Decrypts and verifies. -EBADMSG with @out wiped when the tag is wrong. */
	int (*open)(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
		    size_t aad_len, const void *in, size_t len, void *out,
		    const uint8_t tag[AEAD_TAG_BYTES]);
};

/*
 * Known-answer tests (SP 800-38D vectors, page-sized buffers with AADs of 28 and 60
 * bytes, tampered tags). 0, -EIO, or -ENOTSUP; an engine that fails must not be used.
 */
int aead_self_test(const struct aead_engine *engine);

/*
 * The engine called @name, or with NULL the fastest on this machine (a measurement of
 * a few milliseconds). Every candidate that this CPU supports must pass
 * aead_self_test(). NULL with errno ENOENT (no such engine here) or EIO (self-test
 * failed). Never freed.
 */
const struct aead_engine *aead_select(const char *name);

/* The engines compiled in, NULL-terminated. */
extern const struct aead_engine *const aead_engines[];

#endif
