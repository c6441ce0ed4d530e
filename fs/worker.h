/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with one ring. fs/fuse_loop.c runs it; here is what the rest of
 * fs/ needs of it.
 */
#ifndef FS_WORKER_H
#define FS_WORKER_H

#include <stdbool.h>

#include "fs/engine.h"
#include "fs/fetch.h"
#include "fs/near.h"

struct fs;
struct loop;

struct worker {
	struct fs *fs;
	struct loop *loop;
	struct engine engine;
	struct fetch_queue fetches;
	struct near_worker near;
	struct engine_slot *slot; /* of the request being dispatched */
	uint32_t setxattr_flags;  /* its own, when it is a SETXATTR */
	/* the request being dispatched, for waits that can be interrupted */
	void *request;
	bool (*interrupted)(void *request);
	bool has_seat;	      /* see fs/crew.h */
	bool parallel_writes; /* the opening that is being answered allows them */
	unsigned backlog;     /* requests in a row that were there already */
	uint64_t spin_ns;     /* how long it looks for requests before it sleeps */
	unsigned wipe_round;  /* the last one that this worker took part in */
	unsigned number;      /* of those in the crew */
};

/* The volume a worker serves. */
struct fs *worker_fs(struct worker *w);

/* The worker of the calling thread (FUSE adapters have no other way to it). */
struct worker *worker_current(void);

/*
 * For who waits, every 100 ms: takes part in the round of wiping that loop_wipe() may
 * have begun. True when the request being dispatched should not wait any longer: it was
 * interrupted, and the volume is suspended. @worker: the calling one.
 */
bool worker_look_around(void *worker);

/*
 * Completes all requests that the worker has under way. 0, or -EINTR without having done
 * so: worker_look_around().
 */
int worker_finish(struct worker *w);

/*
 * Call before anything that may take long (fsync, a large truncate, waiting for a lock):
 * completes what the worker has under way and lets another worker receive requests. 0 or
 * -EINTR as worker_finish().
 */
int worker_may_block(struct worker *w);

/*
 * The same, and waits until whatever other workers had taken from the kernel before is
 * being served, or waits for something.
 */
int worker_let_pass(struct worker *w);

/* As worker_may_block() without completing anything: for waiting until operations can
 * complete. */
void worker_leave_seat(struct worker *w);

/* Direct writes of the file whose opening is about to be answered may run in parallel. */
void worker_allow_parallel_writes(void);

#endif
