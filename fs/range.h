/* SPDX-License-Identifier: Apache-2.0 */
/* Page-range locks of one file: readers share, writers exclude. */
#ifndef FS_RANGE_H
#define FS_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#define RANGE_END UINT64_MAX /* up to any size the file may get */

/* One held range; lives in the holder's memory until unlocked. */
struct range {
	uint64_t first, last; /* pages, inclusive */
	bool exclusive;
	bool waits;
	uint64_t place; /* if not 0: those that wait with a lower one come first */
	struct range *next;
};

struct range_lock {
	struct range *held, *waiting; /* what guards them is shared by many locks */
	int outer; /* locked for other machines while its only range is held, else -1 */
};

void range_lock_init(struct range_lock *lock);

/* False when another holder is in the way, or one who waits comes first. */
bool range_try(struct range_lock *lock, struct range *range);

/*
 * From now on it counts as waiting, until it is taken, or range_wait() gives up, or
 * range_withdraw().
 */
void range_announce(struct range_lock *lock, struct range *range);

/* Releases it and announces it again at once. */
void range_step_back(struct range_lock *lock, struct range *range);

void range_withdraw(struct range_lock *lock, struct range *range);

/*
 * Waits: 0, or -EINTR when @interrupted (called with @arg every 100 ms) says so. The
 * caller must hold no other range that its holder could wait for.
 */
int range_wait(struct range_lock *lock, struct range *range,
	       bool (*interrupted)(void *arg), void *arg);

/*
 * Has @fd, on which the only holder has an open file description lock (fcntl(2)),
 * unlocked with its range.
 */
void range_set_outer(struct range_lock *lock, int fd);

void range_release(struct range_lock *lock, struct range *range);

#endif
