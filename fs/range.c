/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/range.h"

void range_lock_init(struct range_lock *lock)
{
	pthread_mutex_init(&lock->mutex, NULL);
	pthread_cond_init(&lock->freed, NULL);
	lock->held = NULL;
}

void range_lock_fini(struct range_lock *lock)
{
	pthread_cond_destroy(&lock->freed);
	pthread_mutex_destroy(&lock->mutex);
}

static bool conflicts(const struct range_lock *lock, const struct range *range)
{
	for (const struct range *held = lock->held; held; held = held->next)
		if (range->first <= held->last && held->first <= range->last &&
		    (range->exclusive || held->exclusive))
			return true;
	return false;
}

static void take(struct range_lock *lock, struct range *range)
{
	range->next = lock->held;
	lock->held = range;
}

bool range_try(struct range_lock *lock, struct range *range)
{
	bool got;

	pthread_mutex_lock(&lock->mutex);
	got = !conflicts(lock, range);
	if (got)
		take(lock, range);
	pthread_mutex_unlock(&lock->mutex);
	return got;
}

void range_wait(struct range_lock *lock, struct range *range)
{
	pthread_mutex_lock(&lock->mutex);
	while (conflicts(lock, range))
		pthread_cond_wait(&lock->freed, &lock->mutex);
	take(lock, range);
	pthread_mutex_unlock(&lock->mutex);
}

void range_release(struct range_lock *lock, struct range *range)
{
	struct range **at = &lock->held;

	pthread_mutex_lock(&lock->mutex);
	while (*at != range)
		at = &(*at)->next;
	*at = range->next;
	pthread_cond_broadcast(&lock->freed);
	pthread_mutex_unlock(&lock->mutex);
}
