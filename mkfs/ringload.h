/* SPDX-License-Identifier: Apache-2.0 */
/* Load for a ring: many equal operations, a number of them in flight, and their time. */
#ifndef MKFS_RINGLOAD_H
#define MKFS_RINGLOAD_H

#include <stdint.h>

#include "hsm/api/queue.h"

struct ringload {
	struct queue *queue; /* attached, nothing in flight; the arena is overwritten */
	uint8_t op;	     /* RING_SEAL or RING_OPEN */
	uint16_t pages;	     /* of one operation */
	unsigned depth;	     /* operations in flight, at most RING_ENTRIES */
};

/* Bytes of arena that so many operations of @pages in flight need. */
uint32_t ringload_arena_len(unsigned pages, unsigned depth);

/* Makes what RING_OPEN will open. 0 or -errno. */
int ringload_prepare(const struct ringload *load);

/* Runs @nr_ops operations; @seconds gets the time. 0, or the status of one that failed.
 */
int ringload_run(const struct ringload *load, uint32_t nr_ops, double *seconds);

#endif
