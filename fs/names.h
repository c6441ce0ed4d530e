/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain names to backing names and back, through a bounded cache in both directions, so
 * that a warm path walk does not visit the HSM. Thread-safe.
 */
#ifndef FS_NAMES_H
#define FS_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "fs/volume/name.h"
#include "hsm/api/page.h"

struct worker;
struct names; /* the cache */

struct names *names_create(void); /* NULL when out of memory */
void names_destroy(struct names *names);

/* Forgets (and wipes) all plain names: part of suspending. */
void names_forget(struct names *names);

/*
 * The backing form of @plain in the directory with id @dir_id. 0, -ENAMETOOLONG (over
 * 255 bytes), -EINTR or an error of the ring.
 */
int names_seal(struct worker *w, const uint8_t dir_id[PAGE_ID_BYTES], const char *plain,
	       struct name_backing *out);

/*
 * The plain forms of @nr backing names of one directory, those not cached in one HSM
 * batch. For long names, @full holds the text of the side entry (else NULL). @plain[i] is
 * malloc'ed, or NULL when that name does not verify. 0 or -errno.
 */
int names_open(struct worker *w, const uint8_t dir_id[PAGE_ID_BYTES],
	       const char *const *backing, const char *const *full, size_t nr,
	       char **plain);

#endif
