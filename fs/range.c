/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/range.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#include "fs/deadline.h"

enum { WAIT_SLICE_MS = 100 };

/* There may be a million locks, and few are waited for. */
static struct guard {
	pthread_mutex_t mutex;
	pthread_cond_t freed;
} guards[64] = {[0 ... 63] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}};

static struct guard *guard_of(const struct range_lock *lock)
{
	uint64_t hash = (uint64_t)(uintptr_t)lock * UINT64_C(0x9e3779b97f4a7c15);

	return &guards[hash >> 58];
}

void range_lock_init(struct range_lock *lock)
{
	lock->held = lock->waiting = NULL;
	lock->outer = -1;
}

static bool conflicts(const struct range_lock *lock, const struct range *range)
{
	for (const struct range *held = lock->held; held; held = held->next)
		if (range->first <= held->last && held->first <= range->last &&
		    (range->exclusive || held->exclusive))
			return true;
	for (const struct range *other = lock->waiting; other; other = other->next)
		if (other->place && other->place < range->place)
			return true;
	return false;
}

static void take_out(struct range **at, const struct range *range)
{
	while (*at != range)
		at = &(*at)->next;
	*at = range->next;
}

static void begin_waiting(struct range_lock *lock, struct range *range)
{
	if (range->waits)
		return;
	range->waits = true;
	range->next = lock->waiting;
	lock->waiting = range;
}

static void end_waiting(struct range_lock *lock, struct range *range)
{
	if (range->waits)
		take_out(&lock->waiting, range);
	range->waits = false;
}

static void take(struct range_lock *lock, struct range *range)
{
	end_waiting(lock, range);
	range->next = lock->held;
	lock->held = range;
}

bool range_try(struct range_lock *lock, struct range *range)
{
	bool got;

	pthread_mutex_lock(&guard_of(lock)->mutex);
	got = !conflicts(lock, range);
	if (got)
		take(lock, range);
	pthread_mutex_unlock(&guard_of(lock)->mutex);
	return got;
}

void range_announce(struct range_lock *lock, struct range *range)
{
	pthread_mutex_lock(&guard_of(lock)->mutex);
	begin_waiting(lock, range);
	pthread_mutex_unlock(&guard_of(lock)->mutex);
}

void range_withdraw(struct range_lock *lock, struct range *range)
{
	pthread_mutex_lock(&guard_of(lock)->mutex);
	end_waiting(lock, range);
	pthread_cond_broadcast(&guard_of(lock)->freed);
	pthread_mutex_unlock(&guard_of(lock)->mutex);
}

/* True if something was freed before a slice of time was over. */
static bool wait_slice(struct guard *guard)
{
	struct timespec until = deadline_in(WAIT_SLICE_MS);

	return !pthread_cond_clockwait(&guard->freed, &guard->mutex, CLOCK_MONOTONIC,
				       &until);
}

int range_wait(struct range_lock *lock, struct range *range,
	       bool (*interrupted)(void *arg), void *arg)
{
	struct guard *guard = guard_of(lock);
	bool is_interrupted = false;

	pthread_mutex_lock(&guard->mutex);
	begin_waiting(lock, range);
	while (conflicts(lock, range) && !is_interrupted) {
		if (wait_slice(guard))
			continue;
		/* others' locks have the same guard */
		pthread_mutex_unlock(&guard->mutex);
		is_interrupted = interrupted(arg);
		pthread_mutex_lock(&guard->mutex);
	}
	if (!is_interrupted)
		take(lock, range);
	pthread_mutex_unlock(&guard->mutex);
	if (is_interrupted)
		range_withdraw(lock, range);
	return is_interrupted ? -EINTR : 0;
}

void range_set_outer(struct range_lock *lock, int fd)
{
	lock->outer = fd;
}

/* A lock against other machines that goes with it. */
static void release_outer(struct range_lock *lock)
{
	struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (lock->outer < 0)
		return;
	fcntl(lock->outer, F_OFD_SETLK, &all);
	lock->outer = -1;
}

void range_release(struct range_lock *lock, struct range *range)
{
	release_outer(lock);
	pthread_mutex_lock(&guard_of(lock)->mutex);
	take_out(&lock->held, range);
	pthread_cond_broadcast(&guard_of(lock)->freed);
	pthread_mutex_unlock(&guard_of(lock)->mutex);
}

void range_step_back(struct range_lock *lock, struct range *range)
{
	release_outer(lock);
	pthread_mutex_lock(&guard_of(lock)->mutex);
	take_out(&lock->held, range);
	begin_waiting(lock, range);
	pthread_cond_broadcast(&guard_of(lock)->freed);
	pthread_mutex_unlock(&guard_of(lock)->mutex);
}
