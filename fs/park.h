/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that came in while the volume was suspended, as they were read from /dev/fuse,
 * waiting to be dispatched. Thread-safe.
 */
#ifndef FS_PARK_H
#define FS_PARK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct parked {
	struct parked *next;
	uint64_t unique; /* the kernel's number of the request */
	size_t len;
	uint8_t message[];
};

/* So many interrupts may overtake a request between its reading and its parking. */
enum { PARK_EARLY = 64 };

struct park {
	pthread_mutex_t lock;
	struct parked *first, **end;
	size_t bytes;
	uint64_t
		early[PARK_EARLY]; /* requests asked for before they were here, if ever */
	unsigned nr_early;
};

/*
 * Beyond this nothing more is read, not even that somebody was killed; the rest waits in
 * the kernel. More than the kernel writes back at a time (fs/mount.c): it takes as many
 * direct writers as that to get there.
 */
enum { PARK_MAX_BYTES = 96 * 1024 * 1024 };

void park_init(struct park *park);

/* Frees what is there. */
void park_fini(struct park *park);

bool park_is_empty(const struct park *park);
bool park_is_full(const struct park *park);

/* Copies a request. -ENOMEM, -EINTR (it was asked for already). */
int park_add(struct park *park, uint64_t unique, const void *message, size_t len);

/* The oldest, for the caller to park_free(); NULL when there is none. */
struct parked *park_take(struct park *park);

/*
 * Takes out the request @unique; NULL if it is not parked: then it will not be, should
 * another worker be about to.
 */
struct parked *park_take_unique(struct park *park, uint64_t unique);

/* Takes out the first that @wanted, which must not use the park, is true of; NULL if
 * there is none. */
struct parked *park_take_if(struct park *park, bool (*wanted)(const struct parked *));

/* Wipes (it may hold file data) and frees. */
void park_free(struct parked *parked);

#endif
