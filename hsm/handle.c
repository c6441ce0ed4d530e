/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/random.h"
#include "hsm/handle.h"

void handle_init(struct handle_chain *chain, uint32_t lifetime_ms)
{
	memset(chain, 0, sizeof(*chain));
	chain->lifetime_ms = lifetime_ms;
}

int handle_issue(struct handle_chain *chain, struct random_pool *random, uint64_t now_ms,
		 uint8_t handle[WIRE_HANDLE_BYTES], uint64_t *generation)
{
	uint8_t *value = chain->value[(chain->latest + 1) % HANDLE_WINDOW];

	if (random_draw(random, value, WIRE_HANDLE_BYTES))
		return -EIO;
	chain->latest++;
	chain->last_use_ms = now_ms;
	memcpy(handle, value, WIRE_HANDLE_BYTES);
	*generation = chain->latest;
	return 0;
}

int handle_renew(struct handle_chain *chain, struct random_pool *random, uint64_t now_ms,
		 uint8_t handle[WIRE_HANDLE_BYTES], uint64_t *generation)
{
	int ret = handle_issue(chain, random, now_ms, handle, generation);

	if (!ret)
		chain->newest_used = chain->latest;
	return ret;
}

int handle_check(struct handle_chain *chain, uint64_t now_ms,
		 const uint8_t handle[WIRE_HANDLE_BYTES], uint64_t generation)
{
	if (generation == 0 || generation > chain->latest ||
	    generation < chain->newest_used ||
	    chain->latest - generation >= HANDLE_WINDOW)
		return -EKEYREJECTED;
	if (secmem_compare(chain->value[generation % HANDLE_WINDOW], handle,
			   WIRE_HANDLE_BYTES))
		return -EKEYREJECTED;
	/* a caller's clock may have been read before the last use was noted */
	if (now_ms > chain->last_use_ms &&
	    now_ms - chain->last_use_ms > chain->lifetime_ms)
		return -EKEYEXPIRED;
	chain->newest_used = generation;
	chain->last_use_ms = now_ms;
	return 0;
}
