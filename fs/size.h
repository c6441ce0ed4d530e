/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving a file's end so that neither a failure nor a crash half-way costs what was there
 * (fs/FORMAT.md, section 4). The caller holds the pages from the old end, or from the new
 * one if that is before it, to RANGE_END for writing.
 */
#ifndef FS_SIZE_H
#define FS_SIZE_H

#include <stdint.h>

struct file;
struct worker;

/* Sealed pages as they are written, from page @first on; @len 0: none. */
struct size_pages {
	const uint8_t *sealed;
	uint32_t len; /* bytes: only the last page may be shorter than PAGE_BYTES */
	uint64_t first;
};

/*
 * Grows the file: @behind are pages that it has not, with the new last one; @upto those
 * it has, with the old last one as it will be. Without @behind, @upto ends with the new
 * last page. On error the file is as it was; where that cannot be had, which is logged,
 * the volume is settled at the next mount. 0 or -errno of the store.
 */
int size_grow(struct worker *w, struct file *file, const struct size_pages *behind,
	      const struct size_pages *upto);

/*
 * For growing with @index as the first page written, behind at least one that is not
 * there: seals to @inner (PAGE_BYTES) what the old last page, or the first of an empty
 * file, becomes, and readies the file for holes. @upto describes it. 0, -EIO...
 */
int size_seal_inner(struct worker *w, struct file *file, uint64_t index, uint8_t *inner,
		    struct size_pages *upto);

/*
 * Gives the file @size plain bytes, cutting or extending (with a hole). All pages are
 * held. On error the file is as it was, see size_grow(). 0, -EFBIG, -EIO...
 */
int size_set(struct worker *w, struct file *file, uint64_t size);

#endif
