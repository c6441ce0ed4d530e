/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/park.h"

void park_init(struct park *park)
{
	park->first = NULL;
	park->end = &park->first;
	park->bytes = 0;
}

int park_add(struct park *park, uint64_t unique, const void *message, size_t len)
{
	struct parked *parked = malloc(sizeof(*parked) + len);

	if (!parked)
		return -ENOMEM;
	parked->next = NULL;
	parked->unique = unique;
	parked->len = len;
	memcpy(parked->message, message, len);
	*park->end = parked;
	park->end = &parked->next;
	park->bytes += len;
	return 0;
}

static struct parked *take_at(struct park *park, struct parked **at)
{
	struct parked *parked = *at;

	*at = parked->next;
	if (park->end == &parked->next)
		park->end = at;
	park->bytes -= parked->len;
	return parked;
}

struct parked *park_take(struct park *park)
{
	return park->first ? take_at(park, &park->first) : NULL;
}

struct parked *park_take_unique(struct park *park, uint64_t unique)
{
	struct parked **at = &park->first;

	while (*at && (*at)->unique != unique)
		at = &(*at)->next;
	return *at ? take_at(park, at) : NULL;
}

struct parked *park_take_if(struct park *park, bool (*wanted)(const struct parked *))
{
	struct parked **at = &park->first;

	while (*at && !wanted(*at))
		at = &(*at)->next;
	return *at ? take_at(park, at) : NULL;
}

void park_free(struct parked *parked)
{
	explicit_bzero(parked->message, parked->len);
	free(parked);
}

bool park_is_full(const struct park *park)
{
	return park->bytes >= PARK_MAX_BYTES;
}
