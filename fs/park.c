/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/park.h"

void park_init(struct park *park)
{
	pthread_mutex_init(&park->lock, NULL);
	park->first = NULL;
	park->end = &park->first;
	park->bytes = 0;
	memset(park->early, 0, sizeof(park->early));
	park->nr_early = 0;
}

void park_fini(struct park *park)
{
	struct parked *parked;

	while ((parked = park_take(park)))
		park_free(parked);
	pthread_mutex_destroy(&park->lock);
}

bool park_is_empty(const struct park *park)
{
	return !__atomic_load_n(&park->bytes, __ATOMIC_ACQUIRE);
}

bool park_is_full(const struct park *park)
{
	return __atomic_load_n(&park->bytes, __ATOMIC_RELAXED) >= PARK_MAX_BYTES;
}

/* The lock is held. */
static bool was_asked_for(const struct park *park, uint64_t unique)
{
	for (size_t i = 0; i < PARK_EARLY; i++)
		if (park->early[i] == unique)
			return true;
	return false;
}

int park_add(struct park *park, uint64_t unique, const void *message, size_t len)
{
	struct parked *parked = malloc(sizeof(*parked) + len);
	bool early;

	if (!parked)
		return -ENOMEM;
	parked->next = NULL;
	parked->unique = unique;
	parked->len = len;
	memcpy(parked->message, message, len);
	pthread_mutex_lock(&park->lock);
	early = was_asked_for(park, unique);
	if (!early) {
		*park->end = parked;
		park->end = &parked->next;
		__atomic_add_fetch(&park->bytes, len, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&park->lock);
	if (early)
		park_free(parked);
	return early ? -EINTR : 0;
}

/* The lock is held. NULL if there is nothing at @at. */
static struct parked *take_at(struct park *park, struct parked **at)
{
	struct parked *parked = *at;

	if (!parked)
		return NULL;
	*at = parked->next;
	if (park->end == &parked->next)
		park->end = at;
	__atomic_sub_fetch(&park->bytes, parked->len, __ATOMIC_RELEASE);
	return parked;
}

struct parked *park_take(struct park *park)
{
	struct parked *parked;

	pthread_mutex_lock(&park->lock);
	parked = take_at(park, &park->first);
	pthread_mutex_unlock(&park->lock);
	return parked;
}

struct parked *park_take_unique(struct park *park, uint64_t unique)
{
	struct parked **at = &park->first, *parked;

	pthread_mutex_lock(&park->lock);
	while (*at && (*at)->unique != unique)
		at = &(*at)->next;
	parked = take_at(park, at);
	if (!parked)
		park->early[park->nr_early++ % PARK_EARLY] = unique;
	pthread_mutex_unlock(&park->lock);
	return parked;
}

struct parked *park_take_if(struct park *park, bool (*wanted)(const struct parked *))
{
	struct parked **at = &park->first, *parked;

	pthread_mutex_lock(&park->lock);
	while (*at && !wanted(*at))
		at = &(*at)->next;
	parked = take_at(park, at);
	pthread_mutex_unlock(&park->lock);
	return parked;
}

void park_free(struct parked *parked)
{
	explicit_bzero(parked->message, parked->len);
	free(parked);
}
