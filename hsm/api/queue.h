/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of a ring. One thread at a time per struct queue.
 *
 * The memory belongs to the client and outlives hsmd: after hsmd has died, or the session
 * was locked, the same queue is attached again and operations are submitted anew. Until
 * then, and perhaps for longer if another hsmd serves now, the one before may still be
 * writing what it was asked for: see queue_change_memory().
 */
#ifndef HSM_API_QUEUE_H
#define HSM_API_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hsm/api/ring.h"

struct hsm_client;

struct queue {
	struct ring_shared *shared;
	uint8_t *arena;
	uint32_t arena_len;
	int memfd;
	uint32_t sq_tail; /* ours: what is written, published up to sq_published */
	uint32_t sq_published;
	uint32_t cq_head;
	uint32_t in_flight; /* submitted, not reaped */
	uint32_t core;	    /* as told to the HSM */
	uint32_t id;	    /* the HSM's number for RENEW */
	uint64_t generation;
	uint8_t handle[WIRE_HANDLE_BYTES];
	struct ring_spin spin;
};

/*
 * How long both sides look before they sleep: at most @max_ns, 0 for not at all. Without
 * it, and at most, RING_SPIN_NS. Takes effect for the HSM with queue_attach().
 */
void queue_set_patience(struct queue *queue, uint32_t max_ns);

/* Makes the memfd with @arena_len bytes (page multiple, <= RING_ARENA_MAX). 0 or -errno.
 */
int queue_init(struct queue *queue, uint32_t arena_len);
void queue_fini(struct queue *queue);

/*
 * While not attached: gives ring and arena other memory at the same address, where no HSM
 * can write that had the queue before. The arena is taken as parts of @part_len bytes;
 * those whose bit is set in @keep come along, the others are zero. 0 or -errno, then it
 * has not been done.
 */
int queue_change_memory(struct queue *queue, uint32_t part_len, uint64_t keep);

/*
 * Attaches to the session that @hsm has redeemed; drops whatever was in flight before.
 * 0 or an error of hsm_queue().
 */
int queue_attach(struct queue *queue, struct hsm_client *hsm);

/* Writes one descriptor (handle and generation are filled in). -EBUSY when full. */
int queue_submit(struct queue *queue, const struct ring_sqe *sqe);

/* Lets the HSM see all that was submitted. */
void queue_flush(struct queue *queue);

/* Takes one completion if there is one and adopts its handle. */
bool queue_reap(struct queue *queue, struct ring_cqe *cqe);

/* Waits until something can be reaped, at most @timeout_ms. */
void queue_wait(struct queue *queue, unsigned timeout_ms);

/* After -EKEYEXPIRED: a new handle over the control socket. 0 or hsm_renew()'s error. */
int queue_renew(struct queue *queue, struct hsm_client *hsm);

#endif
