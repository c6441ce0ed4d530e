/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Near its client, on a machine with two cores: there, to wake a process that sleeps on
 * the other core can take longer than all else that is done for a request. Where one
 * client's requests follow each other closely, the worker that serves them goes to the
 * client's core, on which each runs while the other waits. The kernel would move the
 * client to the idle core at once; so, unless the HSM's thread is at work there, one of
 * ours pretends to be, for as long as the worker itself looks for the next request. With
 * more cores another one is always idle, and nothing of this is done.
 */
#ifndef FS_NEAR_H
#define FS_NEAR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "hsm/api/ring.h"

/* Of a mount. */
struct near {
	int proc;     /* /proc; -1: nothing of this is done */
	bool started; /* the thread was, by the first worker that wanted it */
	bool ended;
	pthread_t thread;
	struct ring_spin spin;
	uint32_t beat;	 /* counts requests, so that it sees that they go on */
	uint32_t sleeps; /* it waits on @beat */
};

/* Of a worker, zero at first; its own thread's. */
struct near_worker {
	uint64_t last_ns;   /* when the last request came */
	uint64_t looked_ns; /* when the client's core was last looked at */
	uint32_t tid;	    /* whose the last request was, of those that are known */
	uint32_t in_row;    /* its requests that came closely after each other */
	uint32_t nr_submitted;
	bool together; /* it was the worker's own */
};

/* @look_ns: how long a worker looks for requests before it sleeps; 0: not at all. */
void near_init(struct near *near, uint64_t look_ns);

/* When no worker runs any more. */
void near_fini(struct near *near);

/*
 * The calling worker serves a request of thread @tid (0: not known), having submitted
 * @nr_submitted operations to the HSM until now. @waits: whatever happens, that thread
 * waits until it is answered. To look at one that may end meanwhile is to be made to
 * clean up behind it, which can wait for requests that we were to serve.
 */
void near_request(struct near *near, struct near_worker *w, uint32_t tid, bool waits,
		  uint32_t nr_submitted);

#endif
