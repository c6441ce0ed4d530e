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
	BUCKETS = 65536,
};

/* The two ways into the cache: by what is known of a name. */
enum way { BY_PLAIN, BY_ENTRY, WAYS };

struct pair {
	bool used; /* again, since the clock's hand passed */
	uint8_t dir_id[PAGE_ID_BYTES];
	uint16_t size;	  /* of text */
	uint16_t at_full; /* where the long name's text begins (an empty one if short) */
	uint16_t at[WAYS];
	char text[]; /* plain, entry and full, each with a NUL */
};

/* A name's place in its bucket, apart from it: a search passes others unseen. */
struct link {
	uint32_t next; /* its slot, from 1 */
	uint32_t hash;
};

struct names {
	pthread_mutex_t lock;
	uint64_t seed[2];    /* secret: nobody can choose names of one bucket */
	uint64_t generation; /* of what was not forgotten */
	uint32_t nr, hand;
	struct pair *slots[CACHE_MAX];
	struct link links[WAYS][CACHE_MAX];
	uint32_t buckets[WAYS][BUCKETS]; /* the first one's slot, from 1 */
};

static uint64_t mix(uint64_t hash, uint64_t factor, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t at = 0; at < len; at += sizeof(uint32_t)) {
		uint32_t word = 0;

		if (len - at >= sizeof(word))
			memcpy(&word, bytes + at, sizeof(word));
		else
			memcpy(&word, bytes + at, len - at);
		hash = (hash ^ word) * factor;
		hash ^= hash >> 32;
	}
	return hash;
}

static uint32_t hash_of(const struct names *names, const uint8_t dir_id[PAGE_ID_BYTES],
			const char *key)
{
	uint64_t factor = names->seed[1] | 1;
	uint64_t hash = mix(names->seed[0], factor, dir_id, PAGE_ID_BYTES);

	return (uint32_t)mix(hash, factor, key, strlen(key));
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
	struct pair *pair = malloc(sizeof(*pair) + size);

	if (!pair)
		return NULL;
	memcpy(pair->dir_id, dir_id, PAGE_ID_BYTES);
	pair->used = false;
	pair->size = (uint16_t)size;
	pair->at[BY_PLAIN] = 0;
	pair->at[BY_ENTRY] = (uint16_t)plain_size;
	pair->at_full = (uint16_t)(plain_size + entry_size);
	memcpy(pair->text, plain, plain_size);
	memcpy(pair->text + pair->at[BY_ENTRY], entry, entry_size);
	memcpy(pair->text + pair->at_full, full, full_size);
	return pair;
}

static struct pair *cache_find(struct names *names, enum way way, uint32_t hash,
			       const uint8_t dir_id[PAGE_ID_BYTES], const char *key)
{
	const struct link *link;

	for (uint32_t at = names->buckets[way][hash % BUCKETS]; at; at = link->next) {
		struct pair *pair;

		link = &names->links[way][at - 1];
		if (link->hash != hash)
			continue;
		pair = names->slots[at - 1];
		if (strcmp(key_of(pair, way), key) ||
		    memcmp(pair->dir_id, dir_id, PAGE_ID_BYTES))
			continue;
		pair->used = true;
		return pair;
	}
	return NULL;
}

static void cache_remove(struct names *names, uint32_t slot)
{
	for (int way = 0; way < WAYS; way++) {
		struct link *links = names->links[way];
		uint32_t *at = &names->buckets[way][links[slot].hash % BUCKETS];

		while (*at != slot + 1)
			at = &links[*at - 1].next;
		*at = links[slot].next;
	}
	pair_free(names->slots[slot]);
	names->slots[slot] = NULL;
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
			cache_remove(names, slot);
			return slot;
		}
		pair->used = false;
	}
}

/* Best effort. The lock is held. */
static void cache_add(struct names *names, const uint32_t hash[WAYS],
		      const uint8_t dir_id[PAGE_ID_BYTES], const char *plain,
		      const char *entry, const char *full)
{
	struct pair *pair;
	uint32_t slot;

	if (cache_find(names, BY_ENTRY, hash[BY_ENTRY], dir_id, entry))
		return;
	pair = pair_new(dir_id, plain, entry, full);
	if (!pair)
		return;
	slot = cache_slot(names);
	names->slots[slot] = pair;
	for (int way = 0; way < WAYS; way++) {
		uint32_t *bucket = &names->buckets[way][hash[way] % BUCKETS];

		names->links[way][slot] = (struct link){*bucket, hash[way]};
		*bucket = slot + 1;
	}
}

struct names *names_create(void)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	if (getrandom(names->seed, sizeof(names->seed), 0) != sizeof(names->seed)) {
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
			   const char *plain, uint32_t hash, struct name_backing *out,
			   uint64_t *generation)
{
	struct pair *pair;

	pthread_mutex_lock(&names->lock);
	*generation = names->generation;
	pair = cache_find(names, BY_PLAIN, hash, dir_id, plain);
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
	uint32_t hash[WAYS];
	uint64_t generation;
	int ret;

	if (len > NAME_PLAIN_MAX)
		return -ENAMETOOLONG;
	if (!len)
		return -ENOENT;
	hash[BY_PLAIN] = hash_of(names, dir_id, plain);
	if (cached_backing(names, dir_id, plain, hash[BY_PLAIN], out, &generation))
		return 0;
	item.in_len = (uint32_t)len;
	ret = sealer_run(w, RING_NAME_SEAL, dir_id, &item, 1);
	if (ret)
		return ret;
	if (item.status || name_encode(sealed, item.out_len, out))
		return -EIO;
	hash[BY_ENTRY] = hash_of(names, dir_id, out->entry);
	pthread_mutex_lock(&names->lock);
	/* What was forgotten meanwhile stays forgotten. */
	if (generation == names->generation)
		cache_add(names, hash, dir_id, plain, out->entry, out->full);
	pthread_mutex_unlock(&names->lock);
	return 0;
}

/* A name to be opened by the HSM. */
struct closed {
	size_t index; /* in the caller's arrays */
	uint32_t hash[WAYS];
};

struct batch {
	const uint8_t *dir_id;
	const char *const *backing, *const *full;
	char **plain;
	struct closed *closed;
	struct sealer_item *items; /* what they are sealed to and opened to is in texts */
	uint8_t *texts;
	size_t texts_len;
	size_t nr;
	uint64_t generation;
};

/* Serves from the cache what it has; notes the rest. -ENOMEM. */
static int open_cached(struct names *names, struct batch *batch, size_t nr)
{
	int ret = 0;

	pthread_mutex_lock(&names->lock);
	batch->generation = names->generation;
	for (size_t i = 0; i < nr && !ret; i++) {
		uint32_t hash = hash_of(names, batch->dir_id, batch->backing[i]);
		struct pair *pair = cache_find(names, BY_ENTRY, hash, batch->dir_id,
					       batch->backing[i]);
		struct closed *closed = &batch->closed[batch->nr];

		if (pair) {
			batch->plain[i] = strdup(key_of(pair, BY_PLAIN));
			ret = batch->plain[i] ? 0 : -ENOMEM;
			continue;
		}
		closed->index = i;
		closed->hash[BY_ENTRY] = hash;
		batch->nr++;
	}
	pthread_mutex_unlock(&names->lock);
	return ret;
}

/* Decodes what was noted and drops what is no sealed name. -ENOMEM. */
static int decode(struct batch *batch)
{
	uint8_t sealed[NAME_SEALED_MAX], *at;
	size_t room = 1, kept = 0;

	for (size_t i = 0; i < batch->nr; i++) {
		const char *full = batch->full[batch->closed[i].index];

		room += strlen(batch->backing[batch->closed[i].index]);
		room += full ? strlen(full) : 0;
	}
	/* A text is longer than what it stands for, and that than the name in it. */
	at = batch->texts = malloc(2 * room);
	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < batch->nr; i++) {
		struct closed closed = batch->closed[i];
		int len = name_decode(batch->backing[closed.index],
				      batch->full[closed.index], sealed);

		if (len < 0)
			continue;
		memcpy(at, sealed, (size_t)len);
		batch->items[kept] = (struct sealer_item){
			.in = at,
			.in_len = (uint32_t)len,
			.out = at + len,
		};
		batch->closed[kept++] = closed;
		at += 2 * (size_t)len;
	}
	batch->nr = kept;
	batch->texts_len = (size_t)(at - batch->texts);
	return 0;
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

static int open_sealed(struct worker *w, struct batch *batch)
{
	struct names *names = worker_fs(w)->names;
	int ret = sealer_run(w, RING_NAME_OPEN, batch->dir_id, batch->items, batch->nr);

	for (size_t i = 0; i < batch->nr && !ret; i++) {
		const struct sealer_item *item = &batch->items[i];
		struct closed *closed = &batch->closed[i];
		char **plain = &batch->plain[closed->index];

		if (item->status || !is_name(item->out, item->out_len))
			continue;
		*plain = strndup(item->out, item->out_len);
		if (!*plain)
			return -ENOMEM;
		closed->hash[BY_PLAIN] = hash_of(names, batch->dir_id, *plain);
	}
	return ret;
}

/* Remembers what was opened, unless names were forgotten meanwhile. */
static void keep(struct names *names, const struct batch *batch)
{
	pthread_mutex_lock(&names->lock);
	for (size_t i = 0; i < batch->nr && batch->generation == names->generation; i++) {
		const struct closed *closed = &batch->closed[i];
		const char *plain = batch->plain[closed->index];
		const char *full = batch->full[closed->index];

		if (plain)
			cache_add(names, closed->hash, batch->dir_id, plain,
				  batch->backing[closed->index], full ? full : "");
	}
	pthread_mutex_unlock(&names->lock);
}

int names_open(struct worker *w, const uint8_t dir_id[PAGE_ID_BYTES],
	       const char *const *backing, const char *const *full, size_t nr,
	       char **plain)
{
	struct names *names = worker_fs(w)->names;
	struct batch batch = {
		.dir_id = dir_id,
		.backing = backing,
		.full = full,
		.plain = plain,
	};
	int ret = -ENOMEM;

	memset(plain, 0, nr * sizeof(*plain));
	if (!nr)
		return 0;
	batch.closed = calloc(nr, sizeof(*batch.closed));
	batch.items = calloc(nr, sizeof(*batch.items));
	if (batch.closed && batch.items)
		ret = open_cached(names, &batch, nr);
	if (!ret && batch.nr)
		ret = decode(&batch);
	if (!ret && batch.nr)
		ret = open_sealed(w, &batch);
	if (!ret)
		keep(names, &batch);
	for (size_t i = 0; ret && i < nr; i++) {
		if (plain[i])
			secmem_wipe(plain[i], strlen(plain[i]));
		free(plain[i]);
		plain[i] = NULL;
	}
	if (batch.texts)
		secmem_wipe(batch.texts, batch.texts_len);
	free(batch.texts);
	free(batch.closed);
	free(batch.items);
	return ret;
}
