/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the embedded TPM keeps its state: a private, locked directory of small named
 * blobs, each replaced as a whole and on disk before the call returns.
 *
 *   file = "hsmftpm1" | length, u32 LE | zero, u32 | SHA-256 of data | data
 *
 * The digest finds rot and cut files, not tampering: whoever can write the directory can
 * write a digest too.
 */
#ifndef HSM_TOKEN_NVRAM_H
#define HSM_TOKEN_NVRAM_H

#include <stddef.h>
#include <stdint.h>

struct nvram;

/*
 * Opens (and makes, 0700) @state_dir and its folder "tpm", and locks the latter. 0;
 * -EBUSY (another process has it); -EACCES (not ours, or open to others); -ENOMEM or
 * what the file system says. On error @why gets one sentence.
 */
int nvram_open(const char *state_dir, struct nvram **out, char *why, size_t why_len);

/* Unlocks and releases; NULL is allowed. */
void nvram_close(struct nvram *nvram);

/*
 * Reads blob @name into memory that the caller frees with free(3). -ENOENT only when
 * there is none; -EUCLEAN when it is there but damaged.
 */
int nvram_load(struct nvram *nvram, const char *name, uint8_t **data, uint32_t *len);

/* Replaces blob @name. After an error the old content stands. */
int nvram_store(struct nvram *nvram, const char *name, const uint8_t *data, uint32_t len);

/* -ENOENT when there is none. */
int nvram_remove(struct nvram *nvram, const char *name);

#endif
