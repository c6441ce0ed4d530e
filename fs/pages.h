/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single pages of a file, one at a time and waited for: what changing a file's end, its
 * flags and its state after a crash is made of. The caller holds the pages' range for
 * writing. Uses the worker's current slot (sealed and old); its data is left alone.
 */
#ifndef FS_PAGES_H
#define FS_PAGES_H

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct file;
struct range;

/*
 * Learns id and flags from page 0 if they are not known yet. 0, -EIO (too short), or an
 * error of the backing store or the ring. An empty file has none: has_id stays false.
 * When page 0 does not verify, the file counts as not sparse.
 */
int pages_load_id(struct worker *w, struct file *file);

/*
 * The id comes from page 0, so another file's page 0 put in its place would verify:
 * before page 0 is given out alone, or anything is written, another page must verify
 * under the same id. Several are tried, so that a damaged one or two do not cost page 0;
 * a file of fewer than four pages cannot tell the one from the other. 0, -EIO, or an
 * error of the store or the ring. Any page range of the file is held.
 */
int pages_prove_id(struct worker *w, struct file *file);

/*
 * Call before a page that is there is written longer, up to backing byte @end: whose size
 * became durable after its content would, after a power failure in between, be cut inside
 * its ciphertext, and what had been acknowledged of it be lost with the rest. 0 or
 * -errno.
 */
int pages_order_growth(struct file *file, uint64_t end);

/* Draws a new id for a file that is empty. 0 or -errno. */
int pages_new_id(struct file *file);

/*
 * Rewrites page @index with its old content (none when the file does not reach it) cut or
 * zero-extended to @len bytes, as the last page if @final. Adjusts backing_size when the
 * page now ends behind it. 0, -EIO, -ENOSPC...
 */
int pages_reseal(struct worker *w, struct file *file, uint64_t index, uint32_t len,
		 bool final);

/*
 * Sets the sparse flag in page 0, if it is not set: that must be on disk before any hole
 * is. RANGE_END is held from 0 on. 0, -EIO...
 */
int pages_make_sparse(struct worker *w, struct file *file);

/*
 * Makes the file end, in full pages, right before page @index so that page can be
 * written: what lies between the old end and there becomes zeros or a hole. Leaves the
 * last page without FINAL: the caller writes @index next, in the same range lock.
 */
int pages_extend_to(struct worker *w, struct file *file, uint64_t index);

/* Gives the file @size plain bytes, cutting or extending. RANGE_END is held from 0 on. */
int pages_set_size(struct worker *w, struct file *file, uint64_t size);

/*
 * After a failed write behind the end: the file has @size plain bytes again and its last
 * page is FINAL. Logs when even that fails.
 */
void pages_restore_end(struct worker *w, struct file *file, uint64_t size);

/*
 * After an unclean end: cuts the file at a page before the last one that says it is the
 * last, or else makes the last page FINAL again if it verifies as it is or with the
 * length its seal states, so that file size and FINAL agree. Logs what it changed. 0,
 * -EIO (it does not verify: reading it will say so too, so callers may go on).
 */
int pages_settle(struct worker *w, struct file *file);

/*
 * Takes a page range of the file; waits if it must. What is in the way is most often the
 * worker's own, which then is completed first.
 */
void pages_lock(struct worker *w, struct file *file, struct range *range);

/* All @len bytes or an error; a file that ends before is -EIO. */
int pages_read_backing(int fd, void *buf, uint64_t len, uint64_t off);
int pages_write_backing(int fd, const void *buf, uint64_t len, uint64_t off);

#endif
