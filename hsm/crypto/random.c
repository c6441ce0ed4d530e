/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/crypto/random.h"

#include <errno.h>
#include <string.h>

#include <openssl/rand.h>

#include "hsm/api/secmem.h"

enum {
	POOL_BYTES = 4096,
	STRENGTH_BITS = 256,
};

struct random_pool {
	size_t used; /* bytes handed out, and wiped */
	uint8_t bytes[POOL_BYTES];
};

int random_bytes(void *out, size_t len)
{
	if (RAND_priv_bytes_ex(NULL, out, len, STRENGTH_BITS) == 1)
		return 0;
	secmem_wipe(out, len);
	return -EIO;
}

struct random_pool *random_create(void)
{
	struct random_pool *pool = secmem_alloc(sizeof(*pool));

	if (pool)
		pool->used = POOL_BYTES;
	return pool;
}

void random_destroy(struct random_pool *pool)
{
	secmem_free(pool);
}

static int refill(struct random_pool *pool)
{
	int rc = random_bytes(pool->bytes, POOL_BYTES);

	/* A failure has wiped what was left as well. */
	pool->used = rc == 0 ? 0 : POOL_BYTES;
	return rc;
}

int random_draw(struct random_pool *pool, void *out, size_t len)
{
	int rc = 0;

	if (len > POOL_BYTES)
		return random_bytes(out, len);
	if (len > POOL_BYTES - pool->used)
		rc = refill(pool);
	if (rc < 0) {
		secmem_wipe(out, len);
		return rc;
	}
	memcpy(out, pool->bytes + pool->used, len);
	secmem_wipe(pool->bytes + pool->used, len);
	pool->used += len;
	return 0;
}
