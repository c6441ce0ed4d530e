/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handles of one queue: a chain of generations, each 128 random bits.
 *
 * Every completion issues the next generation. A generation is accepted if it is not
 * older than the newest that has been used, so work in flight never fails, and a handle
 * that was replaced and whose successor was used is dead at once. Unused for its
 * lifetime, the whole chain expires until it is renewed. Not thread-safe: guarded by the
 * session's lock.
 */
#ifndef HSM_HANDLE_H
#define HSM_HANDLE_H

#include <stdint.h>

#include "hsm/api/wire.h"

struct random_pool;

/* Older generations than this many issued after them are dropped even if none was used.
 */
enum { HANDLE_WINDOW = 256 };

struct handle_chain {
	uint64_t latest; /* issued; 0 before the first */
	uint64_t newest_used;
	uint64_t last_use_ms;
	uint32_t lifetime_ms;
	uint8_t value[HANDLE_WINDOW][WIRE_HANDLE_BYTES];
};

void handle_init(struct handle_chain *chain, uint32_t lifetime_ms);

/* Issues the next generation into @handle and @generation. 0 or -EIO (no randomness). */
int handle_issue(struct handle_chain *chain, struct random_pool *random, uint64_t now_ms,
		 uint8_t handle[WIRE_HANDLE_BYTES], uint64_t *generation);

/* Issues a generation that all older ones die of. 0 or -EIO. */
int handle_renew(struct handle_chain *chain, struct random_pool *random, uint64_t now_ms,
		 uint8_t handle[WIRE_HANDLE_BYTES], uint64_t *generation);

/*
 * 0: accepted, and everything older is dead from now on. -EKEYREJECTED: never issued, or
 * replaced and used. -EKEYEXPIRED: right, but unused for its lifetime.
 */
int handle_check(struct handle_chain *chain, uint64_t now_ms,
		 const uint8_t handle[WIRE_HANDLE_BYTES], uint64_t generation);

#endif
