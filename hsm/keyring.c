/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/kdf.h"
#include "hsm/crypto/siv.h"
#include "hsm/hooks.h"
#include "hsm/keyring.h"

enum {
	NR_SETS = 16,
	NR_WAYS = 4,
	NR_ENTRIES = NR_SETS * NR_WAYS,
};

/* A file's key is looked for in the set its id names (ids are random). */
struct entry {
	bool used;
	uint64_t last_use;
	uint8_t file_id[PAGE_ID_BYTES];
};

struct keyring {
	const struct aead_engine *engine;
	const uint8_t *vmk;
	struct siv *names;
	struct siv *blobs;
	uint64_t ticks;
	size_t stride;
	uint8_t *keys; /* NR_ENTRIES expanded keys, and room for one that is not yet */
	struct entry entries[NR_ENTRIES];
};

static struct siv *derive_siv(const uint8_t *vmk, const char *label)
{
	uint8_t *key = secmem_alloc(SIV_KEY_BYTES);
	struct siv *siv = NULL;

	if (key && !kdf_expand(vmk, label, NULL, 0, key, SIV_KEY_BYTES)) {
		hook_key(label, key, SIV_KEY_BYTES);
		siv = siv_create(key);
	}
	secmem_free(key);
	return siv;
}

static void *key_at(struct keyring *keyring, size_t i)
{
	return keyring->keys + i * keyring->stride;
}

/* So that what an engine needs for a key is there when the first data comes. */
static int reserve_keys(struct keyring *keyring)
{
	static const uint8_t zeros[AEAD_KEY_BYTES];
	int ret = keyring->keys ? 0 : -ENOMEM;

	for (size_t i = 0; i < NR_ENTRIES && !ret; i++)
		ret = keyring->engine->key_init(key_at(keyring, i), zeros);
	return ret;
}

struct keyring *keyring_create(const struct aead_engine *engine,
			       const uint8_t vmk[KEYSLOT_VMK_BYTES])
{
	struct keyring *keyring = calloc(1, sizeof(*keyring));

	if (!keyring)
		return NULL;
	keyring->engine = engine;
	keyring->vmk = vmk;
	keyring->stride = (engine->key_size + 63) & ~(size_t)63;
	keyring->keys = secmem_alloc(keyring->stride * (NR_ENTRIES + 1));
	keyring->names = derive_siv(vmk, KDF_LABEL_NAME);
	keyring->blobs = derive_siv(vmk, KDF_LABEL_BLOB);
	if (keyring->names && keyring->blobs && !reserve_keys(keyring))
		return keyring;
	keyring_destroy(keyring);
	return NULL;
}

void keyring_wipe(struct keyring *keyring)
{
	for (size_t i = 0; i < NR_ENTRIES && keyring->keys; i++)
		keyring->engine->key_fini(key_at(keyring, i));
	memset(keyring->entries, 0, sizeof(keyring->entries));
	secmem_free(keyring->keys);
	siv_destroy(keyring->names);
	siv_destroy(keyring->blobs);
	keyring->keys = NULL;
	keyring->names = keyring->blobs = NULL;
	keyring->vmk = NULL;
}

void keyring_destroy(struct keyring *keyring)
{
	if (!keyring)
		return;
	keyring_wipe(keyring);
	free(keyring);
}

struct siv *keyring_names(struct keyring *keyring)
{
	return keyring->names;
}

struct siv *keyring_blobs(struct keyring *keyring)
{
	return keyring->blobs;
}

/* The way that is free or was used least recently. */
static size_t find_victim(const struct keyring *keyring, size_t set)
{
	size_t victim = set;

	for (size_t i = set; i < set + NR_WAYS; i++) {
		if (!keyring->entries[i].used)
			return i;
		if (keyring->entries[i].last_use < keyring->entries[victim].last_use)
			victim = i;
	}
	return victim;
}

static void *derive_file(struct keyring *keyring, size_t i,
			 const uint8_t file_id[PAGE_ID_BYTES])
{
	struct entry *entry = &keyring->entries[i];
	uint8_t *raw = key_at(keyring, NR_ENTRIES);
	void *key = NULL;

	entry->used = false;
	if (kdf_expand(keyring->vmk, KDF_LABEL_FILE, file_id, PAGE_ID_BYTES, raw,
		       AEAD_KEY_BYTES))
		goto out;
	hook_key(KDF_LABEL_FILE, raw, AEAD_KEY_BYTES);
	if (keyring->engine->key_init(key_at(keyring, i), raw))
		goto out;
	entry->used = true;
	memcpy(entry->file_id, file_id, PAGE_ID_BYTES);
	key = key_at(keyring, i);
out:
	secmem_wipe(raw, AEAD_KEY_BYTES);
	return key;
}

void *keyring_file(struct keyring *keyring, const uint8_t file_id[PAGE_ID_BYTES])
{
	size_t set = (size_t)(file_id[0] % NR_SETS) * NR_WAYS;
	size_t i;
	void *key;

	for (i = set; i < set + NR_WAYS; i++)
		if (keyring->entries[i].used &&
		    !memcmp(keyring->entries[i].file_id, file_id, PAGE_ID_BYTES))
			break;
	if (i < set + NR_WAYS) {
		key = key_at(keyring, i);
	} else {
		i = find_victim(keyring, set);
		key = derive_file(keyring, i, file_id);
	}
	if (key)
		keyring->entries[i].last_use = ++keyring->ticks;
	return key;
}
