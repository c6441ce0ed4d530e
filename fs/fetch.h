/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading backing pages for requests, without making others wait for a slow store: what
 * is in memory is there at once; the rest is on its way while the worker goes on
 * receiving, and looked for again and again. Only when nothing else is to be done does
 * the worker let another one receive, and wait. So it does at once while the store is a
 * slow one that cannot tell what is in memory.
 *
 * All functions belong to the worker's own thread.
 */
#ifndef FS_FETCH_H
#define FS_FETCH_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct fetch_range {
	uint8_t *buf;
	uint64_t len; /* 0: nothing */
	uint64_t off;
};

/* Lives in the caller's memory until done() is called. */
struct fetch {
	int fd;
	struct fetch_range ranges[2]; /* cut by what is there already */
	/* @error: 0 or -errno; a file that ends before is -EIO, an interruption while
	 * suspended -EINTR */
	void (*done)(struct worker *w, struct fetch *fetch, int error);
	struct fetch *next;
};

/* Part of struct worker, zero at first. */
struct fetch_queue {
	struct fetch *first, *last; /* oldest first */
	uint64_t since_ns;	    /* when the first became it */
};

/* done() is called before it returns, or from fetch_run() or fetch_finish(). */
void fetch_start(struct worker *w, struct fetch *fetch);

/* Looks whether the oldest is there. True when it was. */
bool fetch_run(struct worker *w);

/* Whether the oldest takes so long that it should be waited for (@busy: others do not).
 */
bool fetch_overdue(const struct worker *w, bool busy);

/* Waits for all, but lets the HSM complete what it has before each. */
void fetch_finish(struct worker *w);

/* Waits for all. Of what is with a suspended HSM then, interruptions are seen. */
void fetch_wait(struct worker *w);

#endif
