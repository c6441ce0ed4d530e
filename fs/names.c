/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/fs.h"
#include "fs/sealer.h"
#include "fs/worker.h"
#include "hsm/api/secmem.h"

enum {
	CACHE_MAX = 65536,
	BUCKETS = 32768,
};

/* The two ways into the cache: by what is known of a name. */
enum way { BY_PLAIN, BY_ENTRY, WAYS };

struct pair {
	struct pair *next[WAYS]; /* of its bucket */
	uint32_t slot;
	bool used; /* since the clock's hand passed */
	uint8_t dir_id[PAGE_ID_BYTES];
	uint16_t size;	  /* of text */
	uint16_t at_full; /* where the long name's text begins (an empty one if short) */
	uint16_t at[WAYS];
	char text[]; /* plain, entry and full, each with a NUL */
};

struct names {
	pthread_mutex_t lock;
	uint64_t seed;
	uint64_t generation; /* of what was not forgotten */
	uint32_t nr, hand;
	struct pair *slots[CACHE_MAX];
	struct pair *buckets[WAYS][BUCKETS];
};

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *byte = data;

	while (len--)
		hash = (hash ^ *byte++) * UINT64_C(0x100000001b3);
	return hash;
}

static struct pair **bucket_of(struct names *names, enum way way,
			       const uint8_t dir_id[PAGE_ID_BYTES], const char *key)
{
	uint64_t hash = mix(mix(names->seed, dir_id, PAGE_ID_BYTES), key, strlen(key));

	return &names->buckets[way][(hash ^ (hash >> 32)) % BUCKETS];
}

static const char *key_of(const struct pair *pair, enum way way)
{
	return pair->text + pair->at[way];
}

/* Names are plaintext: they are wiped, not just freed. */
static void pair_free(struct pair *pair)
{
	secmem_wipe(pair->text, pair->size);
	free(pair);
}

static struct pair *pair_new(const uint8_t dir_id[PAGE_ID_BYTES], const char *plain,
			     const char *entry, const char *full)
{
	size_t plain_size = strlen(plain) + 1, entry_size = strlen(entry) + 1;
	size_t full_size = strlen(full) + 1, size = plain_size + entry_size + full_size;
	struct pair *pair = calloc(1, sizeof(*pair) + size);

	if (!pair)
		return NULL;
	memcpy(pair->dir_id, dir_id, PAGE_ID_BYTES);
	pair->used = true;
	pair->size = (uint16_t)size;
	pair->at[BY_PLAIN] = 0;
	pair->at[BY_ENTRY] = (uint16_t)plain_size;
	pair->at_full = (uint16_t)(plain_size + entry_size);
	memcpy(pair->text, plain, plain_size);
	memcpy(pair->text + pair->at[BY_ENTRY], entry, entry_size);
	memcpy(pair->text + pair->at_full, full, full_size);
	return pair;
}

static struct pair *cache_find(struct names *names, enum way way,
			       const uint8_t dir_id[PAGE_ID_BYTES], const char *key)
{
	struct pair *pair = *bucket_of(names, way, dir_id, key);

	while (pair && (strcmp(key_of(pair, way), key) ||
			memcmp(pair->dir_id, dir_id, PAGE_ID_BYTES)))
		pair = pair->next[way];
	if (pair)
		pair->used = true;
	return pair;
}

static void cache_remove(struct names *names, struct pair *pair)
{
	for (int way = 0; way < WAYS; way++) {
		struct pair **at = bucket_of(names, way, pair->dir_id, key_of(pair, way));

		while (*at != pair)
			at = &(*at)->next[way];
		*at = pair->next[way];
	}
	names->slots[pair->slot] = NULL;
	pair_free(pair);
}

/* A free slot: the next one, or that of a name which was not used for a turn. */
static uint32_t cache_slot(struct names *names)
{
	if (names->nr < CACHE_MAX)
		return names->nr++;
	for (;;) {
		uint32_t slot = names->hand;
		struct pair *pair = names->slots[slot];

		names->hand = (slot + 1) % CACHE_MAX;
		if (!pair->used) {
			cache_remove(names, pair);
			return slot;
		}
		pair->used = false;
	}
}

/* Best effort; @generation: names_forget() must not be undone by who began before it. */
static void cache_add(struct names *names, uint64_t generation,
		      const uint8_t dir_id[PAGE_ID_BYTES], const char *plain,
		      const char *entry, const char *full)
{
	struct pair *pair = pair_new(dir_id, plain, entry, full);

	if (!pair)
		return;
	pthread_mutex_lock(&names->lock);
	if (generation != names->generation ||
	    cache_find(names, BY_ENTRY, dir_id, entry)) {
		pair_free(pair);
		goto out;
	}
	pair->slot = cache_slot(names);
	names->slots[pair->slot] = pair;
	for (int way = 0; way < WAYS; way++) {
		struct pair **bucket = bucket_of(names, way, dir_id, key_of(pair, way));

		pair->next[way] = *bucket;
		*bucket = pair;
	}
out:
	pthread_mutex_unlock(&names->lock);
}

struct names *names_create(void)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	if (getrandom(&names->seed, sizeof(names->seed), 0) != sizeof(names->seed)) {
		free(names);
		return NULL;
	}
	pthread_mutex_init(&names->lock, NULL);
	return names;
}

void names_forget(struct names *names)
{
	pthread_mutex_lock(&names->lock);
	for (uint32_t slot = 0; slot < names->nr; slot++)
		pair_free(names->slots[slot]);
	memset(names->slots, 0, sizeof(names->slots));
	memset(names->buckets, 0, sizeof(names->buckets));
	names->nr = 0;
	names->hand = 0;
	names->generation++;
	pthread_mutex_unlock(&names->lock);
}

void names_destroy(struct names *names)
{
	if (!names)
		return;
	names_forget(names);
	pthread_mutex_destroy(&names->lock);
	free(names);
}

/* Looks @plain up; tells the cache's generation in any case. */
static bool cached_backing(struct names *names, const uint8_t dir_id[PAGE_ID_BYTES],
			   const char *plain, struct name_backing *out,
			   uint64_t *generation)
{
	struct pair *pair;

	pthread_mutex_lock(&names->lock);
	*generation = names->generation;
	pair = cache_find(names, BY_PLAIN, dir_id, plain);
	if (pair) {
		const char *entry = key_of(pair, BY_ENTRY),
			   *full = pair->text + pair->at_full;

		memset(out, 0, sizeof(*out));
		memcpy(out->entry, entry, strlen(entry));
		memcpy(out->full, full, strlen(full));
		if (*full)
			name_side(out->entry, out->side);
	}
	pthread_mutex_unlock(&names->lock);
	return pair;
}

int names_seal(struct worker *w, const uint8_t dir_id[PAGE_ID_BYTES], const char *plain,
	       struct name_backing *out)
{
	struct names *names = worker_fs(w)->names;
	uint8_t sealed[NAME_PLAIN_MAX + RING_STRING_OVERHEAD];
	struct sealer_item item = {.in = plain, .out = sealed};
	size_t len = strlen(plain);
	uint64_t generation;
	int ret;

	if (len > NAME_PLAIN_MAX)
		return -ENAMETOOLONG;
	if (!len)
		return -ENOENT;
	if (cached_backing(names, dir_id, plain, out, &generation))
		return 0;
	item.in_len = (uint32_t)len;
	ret = sealer_run(w, RING_NAME_SEAL, dir_id, &item, 1);
	if (ret)
		return ret;
	if (item.status || name_encode(sealed, item.out_len, out))
		return -EIO;
	cache_add(names, generation, dir_id, plain, out->entry, out->full);
	return 0;
}

/* A name to be opened by the HSM. */
struct closed {
	size_t index; /* in the caller's arrays */
	uint8_t sealed[NAME_SEALED_MAX];
	uint8_t plain[NAME_SEALED_MAX + 1];
};

struct batch {
	struct closed *closed;
	struct sealer_item *items;
	size_t nr;
	uint64_t generation;
};

/* Serves from the cache what it has; collects the rest. -ENOMEM. */
static int open_cached(struct names *names, const uint8_t dir_id[PAGE_ID_BYTES],
		       const char *const *backing, const char *const *full, size_t nr,
		       char **plain, struct batch *batch)
{
	int ret = 0;

	pthread_mutex_lock(&names->lock);
	batch->generation = names->generation;
	for (size_t i = 0; i < nr && !ret; i++) {
		struct pair *pair = cache_find(names, BY_ENTRY, dir_id, backing[i]);
		struct closed *closed = &batch->closed[batch->nr];
		int len;

		if (pair) {
			plain[i] = strdup(key_of(pair, BY_PLAIN));
			ret = plain[i] ? 0 : -ENOMEM;
			continue;
		}
		len = name_decode(backing[i], full[i], closed->sealed);
		if (len < 0)
			continue;
		closed->index = i;
		batch->items[batch->nr++] = (struct sealer_item){
			.in = closed->sealed,
			.in_len = (uint32_t)len,
			.out = closed->plain,
		};
	}
	pthread_mutex_unlock(&names->lock);
	return ret;
}

/* What the HSM has sealed once was a name; what else verifies is not trusted to be one.
 */
static bool is_name(const uint8_t *plain, size_t len)
{
	if (!len || len > NAME_PLAIN_MAX || memchr(plain, '/', len) ||
	    memchr(plain, 0, len))
		return false;
	return !(plain[0] == '.' && (len == 1 || (len == 2 && plain[1] == '.')));
}

static int open_sealed(struct worker *w, const uint8_t dir_id[PAGE_ID_BYTES],
		       const char *const *backing, const char *const *full, char **plain,
		       struct batch *batch)
{
	struct names *names = worker_fs(w)->names;
	int ret = sealer_run(w, RING_NAME_OPEN, dir_id, batch->items, batch->nr);

	for (size_t i = 0; i < batch->nr && !ret; i++) {
		struct closed *closed = &batch->closed[i];
		size_t at = closed->index, len = batch->items[i].out_len;

		if (batch->items[i].status || !is_name(closed->plain, len))
			continue;
		plain[at] = strndup((char *)closed->plain, len);
		if (!plain[at])
			return -ENOMEM;
		cache_add(names, batch->generation, dir_id, plain[at], backing[at],
			  name_classify(backing[at]) == NAME_LONG ? full[at] : "");
	}
	return ret;
}

int names_open(struct worker *w, const uint8_t dir_id[PAGE_ID_BYTES],
	       const char *const *backing, const char *const *full, size_t nr,
	       char **plain)
{
	struct batch batch = {0};
	int ret = -ENOMEM;

	memset(plain, 0, nr * sizeof(*plain));
	if (!nr)
		return 0;
	batch.closed = calloc(nr, sizeof(*batch.closed));
	batch.items = calloc(nr, sizeof(*batch.items));
	if (batch.closed && batch.items)
		ret = open_cached(worker_fs(w)->names, dir_id, backing, full, nr, plain,
				  &batch);
	if (!ret && batch.nr)
		ret = open_sealed(w, dir_id, backing, full, plain, &batch);
	for (size_t i = 0; ret && i < nr; i++) {
		free(plain[i]);
		plain[i] = NULL;
	}
	if (batch.closed)
		secmem_wipe(batch.closed, nr * sizeof(*batch.closed));
	free(batch.closed);
	free(batch.items);
	return ret;
}
