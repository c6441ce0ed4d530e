/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working keys of one queue, derived from the volume master key: name key, blob key
 * and the expanded keys of recently used files. All in secret memory. One thread at a
 * time; keyring_wipe() only while that thread is kept out (the session's lock).
 */
#ifndef HSM_KEYRING_H
#define HSM_KEYRING_H

#include <stdint.h>

#include "hsm/api/keyslot.h"
#include "hsm/api/page.h"

struct aead_engine;
struct siv;
struct keyring;

/* NULL when out of (locked) memory. @vmk is borrowed until keyring_wipe(). */
struct keyring *keyring_create(const struct aead_engine *engine,
			       const uint8_t vmk[KEYSLOT_VMK_BYTES]);

/* Wipes every key; only keyring_destroy() may follow. */
void keyring_wipe(struct keyring *keyring);
void keyring_destroy(struct keyring *keyring); /* NULL is allowed */

struct siv *keyring_names(struct keyring *keyring);
struct siv *keyring_blobs(struct keyring *keyring);

/*
 * The expanded key of @file_id for the keyring's engine, valid until the next call. NULL
 * on failure of the derivation. At most 2^32 pages may be sealed under one file id
 * (16 TiB written, SP 800-38D 8.3).
 */
void *keyring_file(struct keyring *keyring, const uint8_t file_id[PAGE_ID_BYTES]);

#endif
