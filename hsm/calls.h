/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HSM's work on pages without a client: operations called as functions, under a key
 * of no volume, and handles of a chain of their own. For measurements. One thread at a
 * time.
 */
#ifndef HSM_CALLS_H
#define HSM_CALLS_H

#include <stdint.h>

#include "hsm/api/wire.h"
#include "hsm/handle.h"
#include "hsm/pages.h"

struct calls {
	struct pages_context pages;
	uint8_t *vmk; /* secret memory */
	struct handle_chain handles;
	uint8_t handle[WIRE_HANDLE_BYTES]; /* the newest */
	uint64_t generation;
};

/*
 * 0, -ENOMEM (locked memory, too) or -EIO (no randomness). calls_fini() follows in any
 * case.
 */
int calls_init(struct calls *calls, const struct aead_engine *engine);
void calls_fini(struct calls *calls);

/* Bytes of arena that an operation on @pages works in: plaintext, then sealed pages. */
uint32_t calls_arena_len(uint16_t pages);

/*
 * RING_SEAL or RING_OPEN of @pages full pages at the beginning of @arena; what is opened
 * has to be sealed there before. 0, or the operation's error.
 */
int calls_run(struct calls *calls, const struct arena *arena, uint8_t op, uint16_t pages);

/*
 * What comes before and after an operation: the handle is checked, and the next one
 * issued. The clock, which is read once for a batch of operations, is in neither.
 * 0 or -errno.
 */
int calls_check_handle(struct calls *calls);
int calls_next_handle(struct calls *calls);

#endif
