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
 * What the file is like on disk, where it may have changed, or be another one, since. As
 * pages_load_id().
 */
int pages_learn(struct worker *w, struct file *file);

/*
 * Learns id and flags from page 0 if they are not known yet. 0, -EIO (too short), -EFBIG
 * (longer than can be read), or an error of the backing store or the ring. An empty file
 * has none. When page 0 does not verify, the file counts as not sparse.
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
 * Draws a new id for a file that is empty, whatever is left of a change that was not
 * done. 0 or -errno.
 */
int pages_new_id(struct file *file);

/*
 * Before the file's end is written, moved or read to: the last page verifies and says
 * that it is the last. Else the file was cut or lengthened, and writing would make a
 * damaged file a good one. 0 (also for a volume whose ends are in doubt), -EIO, or an
 * error of the store or the ring. The last page's range is held.
 */
int pages_end_right(struct worker *w, struct file *file);

/*
 * Seals page @index with its old content (none when the file does not reach it) cut or
 * zero-extended to @len bytes, as the last page if @final: in slot->sealed. slot->old has
 * the old page as on disk. Nothing is written. 0, -EIO...
 */
int pages_reseal(struct worker *w, const struct file *file, uint64_t index, uint32_t len,
		 bool final);

/*
 * Writes the page in slot->sealed over the one in slot->old, which is put back when that
 * fails. @len bytes are as many as are there, or fewer. 0 or -errno.
 */
int pages_replace(const struct worker *w, const struct file *file, uint64_t index,
		  uint32_t len);

/*
 * Sets the sparse flag in page 0, if it is not set: that must be on disk before any hole
 * is. For an empty file it is left to the caller to write page 0. RANGE_END is held from
 * 0 on. 0, -EIO...
 */
int pages_make_sparse(struct worker *w, struct file *file);

/* fdatasync(2); others receive requests meanwhile. 0 or -errno. */
int pages_sync(struct worker *w, struct file *file);

/* A sync failed, which the store says only once: see file_nr_lost(). */
void pages_lost(struct file *file);

/* Bytes of page @index that are on disk; 0 when the file does not reach it. */
uint32_t pages_on_disk(const struct file *file, uint64_t index);

/* What any holder of a range may ask for, and who holds the end change. */
uint64_t pages_backing_size(const struct file *file);
void pages_set_backing_size(struct file *file, uint64_t size);

enum { PAGES_SAW_SPARSE = 1 << 16 }; /* page 0's header has FILE_SPARSE */

/*
 * Whether the page of @len bytes in slot->old verifies. @flags: RING_SAW_*,
 * PAGES_SAW_SPARSE. 0, -EIO...
 */
int pages_verify_old(struct worker *w, const struct file *file, uint64_t index,
		     uint32_t len, uint32_t *flags);

/*
 * After an unclean end: gives the file the end that its pages tell, fs/FORMAT.md, section
 * 4, so that size and FINAL agree. Logs what it changed. 0, -EIO (the last page does not
 * verify: reading it will say so too, so callers may go on), -EFBIG...
 */
int pages_settle(struct worker *w, struct file *file);

/* The same for what one interrupted operation may have left, at a cost that is bounded.
 */
int pages_settle_tail(struct worker *w, struct file *file);

/*
 * Takes a page range of the file; waits if it must. What is in the way is most often the
 * worker's own, which then is completed first. 0, or -EINTR without it:
 * worker_look_around().
 */
int pages_lock(struct worker *w, struct file *file, struct range *range);

/* All @len bytes or an error; a file that ends before is -EIO. */
int pages_read_backing(int fd, void *buf, uint64_t len, uint64_t off);
int pages_write_backing(int fd, const void *buf, uint64_t len, uint64_t off);

#endif
