/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <string.h>

#include "hsm/terms.h"

enum { MAX_VOLUMES = 128 };

struct entry {
	uint64_t age; /* when it was remembered, counted; 0: free */
	uint8_t id[TERMS_ID_BYTES];
	struct terms terms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[MAX_VOLUMES];
static uint64_t now;

/* The entry of @id, else NULL with the oldest one in *@oldest. */
static struct entry *find(const uint8_t *id, struct entry **oldest)
{
	*oldest = &entries[0];
	for (int i = 0; i < MAX_VOLUMES; i++) {
		if (entries[i].age && !memcmp(entries[i].id, id, TERMS_ID_BYTES))
			return &entries[i];
		if (entries[i].age < (*oldest)->age)
			*oldest = &entries[i];
	}
	return NULL;
}

void terms_remember(const uint8_t id[TERMS_ID_BYTES], const struct terms *terms)
{
	struct entry *oldest, *entry;

	pthread_mutex_lock(&lock);
	entry = find(id, &oldest);
	if (!entry)
		entry = oldest;
	entry->age = ++now;
	entry->terms = *terms;
	memcpy(entry->id, id, TERMS_ID_BYTES);
	pthread_mutex_unlock(&lock);
}

bool terms_recall(const uint8_t id[TERMS_ID_BYTES], struct terms *terms)
{
	struct entry *oldest, *entry;

	pthread_mutex_lock(&lock);
	entry = find(id, &oldest);
	if (entry)
		*terms = entry->terms;
	pthread_mutex_unlock(&lock);
	return entry != NULL;
}

bool terms_limit_any(void)
{
	bool any = false;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < MAX_VOLUMES; i++) {
		const struct terms *terms = &entries[i].terms;

		any |= entries[i].age &&
		       (terms->lease_ms != UINT64_MAX || terms->idle_ms != UINT64_MAX ||
			terms->limit_bytes != UINT64_MAX);
	}
	pthread_mutex_unlock(&lock);
	return any;
}
