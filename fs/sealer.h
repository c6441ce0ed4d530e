/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings (names, symlink targets, ids) through the HSM, one batch at a time, for the
 * calling worker. Waits while the volume is suspended; -EINTR when the request that the
 * worker serves is interrupted meanwhile.
 */
#ifndef FS_SEALER_H
#define FS_SEALER_H

#include <stddef.h>
#include <stdint.h>

#include "hsm/api/ring.h"

struct worker;

struct sealer_item {
	const void *in;
	uint32_t in_len; /* <= RING_STRING_MAX (+ RING_STRING_OVERHEAD when opening) */
	void *out;	 /* room for in_len + RING_STRING_OVERHEAD bytes when sealing */
	uint32_t out_len;
	int status; /* 0 or -EBADMSG */
};

/* What a blob is, as the context its seal is bound to. */
extern const uint8_t SEALER_DIR_ID[PAGE_ID_BYTES];
extern const uint8_t SEALER_SYMLINK[PAGE_ID_BYTES];

/* What the names of extended attributes are bound to, in a directory id's place. */
extern const uint8_t SEALER_ATTRIBUTE[PAGE_ID_BYTES];
extern const uint8_t SEALER_SYSTEM[PAGE_ID_BYTES]; /* those of the system, as ACLs */

/*
 * Runs @op (RING_NAME_* with a directory id as @context, RING_BLOB_* with a constant
 * above) over @nr items, in as many batches as needed. 0 when every item has its status
 * and output, else -errno.
 */
int sealer_run(struct worker *w, enum ring_op op, const uint8_t context[PAGE_ID_BYTES],
	       struct sealer_item *items, size_t nr);

#endif
