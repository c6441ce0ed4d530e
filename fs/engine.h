/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring operations of a worker. Operations are queued while requests are taken in and run
 * together; when the volume is suspended they wait and are submitted anew once it is
 * resumed, so their callers see nothing of it but time.
 *
 * All functions belong to the worker's own thread.
 */
#ifndef FS_ENGINE_H
#define FS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hsm/api/queue.h"

struct fs;
struct worker;

enum {
	ENGINE_NR_SLOTS = 16,
	ENGINE_DATA_BYTES = RING_MAX_PAGES * PAGE_BYTES,
	ENGINE_REQUEST_ROOM = PAGE_BYTES, /* before the payload of a FUSE request */
};

/*
 * Arena space for one request: its FUSE message with the payload at @data (page-aligned),
 * sealed pages, and two old pages.
 */
struct engine_slot {
	uint8_t *data;	 /* ENGINE_REQUEST_ROOM bytes before it belong to it too */
	uint8_t *sealed; /* ENGINE_DATA_BYTES */
	uint8_t *old;	 /* two pages */
	uint8_t *end;	 /* of the request that is being served; NULL: none is */
	struct engine_slot *next_free;
};

/* One operation in flight. Lives in the submitter's memory until done() is called. */
struct engine_op {
	struct ring_sqe
		sqe; /* offsets from engine_offset(); handle and cookie are filled in */
	/* status is never a key error; -EINTR or -EIO if the wait for a key was ended,
	 * and -EIO if either side breaks the protocol; len, flags and header_flags are
	 * such as @sqe may have, 0 after an error */
	struct ring_cqe cqe;
	void (*done)(struct worker *w, struct engine_op *op);
	bool (*interrupted)(void *request); /* NULL: cannot be interrupted */
	void *request;
};

/* Part of struct worker. */
struct engine {
	struct queue queue;
	uint32_t epoch; /* of the link, when the queue was attached; 0: not attached */
	bool is_lent;	/* an HSM has, or had, the queue's memory */
	struct engine_slot slots[ENGINE_NR_SLOTS];
	struct engine_slot *free;
	struct engine_op *ops[RING_ENTRIES]; /* in flight, by cookie */
	uint32_t nr_ops;
	uint32_t nr_long; /* of them, see ring_is_long() */
	uint32_t nr_submitted;
};

/* 0 or -errno. The ring is attached at the first operation. */
int engine_init(struct engine *engine);
void engine_fini(struct engine *engine);

/* NULL when all are taken. */
struct engine_slot *engine_slot_take(struct engine *engine);
void engine_slot_put(struct engine *engine, struct engine_slot *slot);

/*
 * Gives memory back, and with it what was there: all of the slots that serve no request,
 * and of the others what is at @data behind the request. That must not be waited for:
 * operations in flight bring it anew.
 */
void engine_wipe(struct engine *engine);

uint32_t engine_offset(const struct engine *engine, const void *in_arena);

/* Queues @op; done() is called from a later engine_run() or engine_finish(). */
void engine_submit(struct worker *w, struct engine_op *op);

/*
 * Lets the HSM start on what is queued, takes what is complete, does not wait. True when
 * something was.
 */
bool engine_run(struct worker *w);

/*
 * Runs until nothing is in flight: 0. -EINTR with something still in flight when the
 * request being dispatched was interrupted meanwhile, see worker_look_around().
 */
int engine_finish(struct worker *w);

/* Queues @op (whose done is ignored) and waits for all in flight. The completion's
 * status. */
int engine_call(struct worker *w, struct engine_op *op);

#endif
