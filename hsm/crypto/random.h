/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes for nonces and handles at a few nanoseconds each: drawn from OpenSSL's
 * DRBG (SP 800-90A) 4 KiB at a time and wiped as they are handed out.
 */
#ifndef HSM_CRYPTO_RANDOM_H
#define HSM_CRYPTO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random_pool; /* in secret memory; one thread at a time */

struct random_pool *random_create(void); /* NULL when out of memory */
void random_destroy(struct random_pool *pool);

/* Fills @out. 0, or -EIO when the generator fails (then nothing may be sealed). */
int random_draw(struct random_pool *pool, void *out, size_t len);

/* Straight from the private DRBG, for keys and salts. Thread-safe. 0 or -EIO. */
int random_bytes(void *out, size_t len);

#endif
