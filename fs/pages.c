/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/log.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

/* Is page 0 the one that id and flags were taken from? */
static bool is_same_file(const struct file *file)
{
	struct page_header header;

	return file->has_id && file->backing_size > PAGE_SEAL_BYTES + sizeof(header) &&
	       !pages_read_backing(file->fd, &header, sizeof(header), PAGE_SEAL_BYTES) &&
	       !memcmp(file->id, header.file_id, PAGE_ID_BYTES) &&
	       file->sparse == !!(header.flags & FILE_SPARSE);
}

int pages_learn(struct worker *w, struct file *file)
{
	uint64_t known = file->backing_size;
	struct stat st;

	/* then what is on disk is not what the file is */
	if (file->cut_due)
		return 0;
	if (fstat(file->fd, &st))
		return -errno;
	pages_set_backing_size(file, (uint64_t)st.st_size);
	if (!is_same_file(file))
		file->has_id = file->proven = false;
	if (!file->has_id || file->backing_size != known) {
		file->end_right = false;
		file->durable_pages = UINT64_MAX;
	}
	if (file->durable_pages > layout_pages(file_size(file)))
		file->durable_pages = layout_pages(file_size(file));
	return pages_load_id(w, file);
}

/*
 * Another machine may have changed the file last, and not come to the end of that: what
 * is written behind an old last page would be cut off when that is settled later. 0, or
 * an error that is not damage.
 */
static int settle_others(struct worker *w, struct file *file)
{
	int ret;

	if (!file->writable || file->end_right)
		return 0;
	ret = pages_settle_tail(w, file);
	file->end_right = !ret;
	return ret == -EIO || ret == -EFBIG ? 0 : ret;
}

/*
 * The whole file, against other machines too where the store can do that (else they must
 * not write to one file at the same time). Nothing else is held meanwhile, so that two
 * machines cannot wait for each other.
 */
static int lock_shared(struct worker *w, struct file *file, struct range *range)
{
	struct flock all = {.l_whence = SEEK_SET};
	int ret;

	range->first = 0;
	range->last = RANGE_END;
	range->exclusive = true;
	ret = worker_may_block(w);
	if (!ret)
		ret = range_wait(&file->pages, range, worker_look_around, w);
	if (ret)
		return ret;
	all.l_type = file->writable ? F_WRLCK : F_RDLCK;
	while (fcntl(file->fd, F_OFD_SETLKW, &all) && errno == EINTR)
		;
	range_set_outer(&file->pages, file->fd);
	/* whoever finds no id in a file that is not empty reports the damage */
	pages_learn(w, file);
	ret = settle_others(w, file);
	if (ret)
		range_release(&file->pages, range);
	return ret;
}

int pages_lock(struct worker *w, struct file *file, struct range *range)
{
	int ret;

	if (w->fs->shared)
		return lock_shared(w, file, range);
	if (range_try(&file->pages, range))
		return 0;
	range_announce(&file->pages, range);
	ret = worker_finish(w);
	if (!ret && range_try(&file->pages, range))
		return 0;
	if (!ret)
		ret = worker_may_block(w);
	if (!ret)
		return range_wait(&file->pages, range, worker_look_around, w);
	range_withdraw(&file->pages, range);
	return ret;
}

int pages_read_backing(int fd, void *buf, uint64_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pread(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf = (uint8_t *)buf + n;
		len -= (uint64_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

int pages_write_backing(int fd, const void *buf, uint64_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf = (const uint8_t *)buf + n;
		len -= (uint64_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

uint64_t pages_backing_size(const struct file *file)
{
	return __atomic_load_n(&file->backing_size, __ATOMIC_RELAXED);
}

uint64_t file_size(const struct file *file)
{
	return layout_plain_size(pages_backing_size(file));
}

void pages_set_backing_size(struct file *file, uint64_t size)
{
	__atomic_store_n(&file->backing_size, size, __ATOMIC_RELAXED);
}

uint32_t pages_on_disk(const struct file *file, uint64_t index)
{
	uint64_t start = index * PAGE_BYTES, end = pages_backing_size(file);

	if (end <= start + page_overhead(index))
		return 0;
	return end - start < PAGE_BYTES ? (uint32_t)(end - start) : PAGE_BYTES;
}

/*
 * Sealing a page anew verifies it as opening it does, but brings no content out: it is
 * not among what a session may read, and a write must not fail when that is used up.
 */
static struct ring_sqe sqe_verify(const struct worker *w, const struct file *file,
				  uint64_t index, uint32_t len)
{
	uint32_t old = engine_offset(&w->engine, w->slot->old);
	struct ring_sqe sqe = {.op = RING_SEAL,
			       .count = 1,
			       .flags = file->sparse ? RING_OPEN_HOLES : 0,
			       .first_page = index,
			       .last_len = len - page_overhead(index),
			       .dst = engine_offset(&w->engine, w->slot->sealed),
			       .dst_len = PAGE_BYTES,
			       .old_first = old,
			       .old_first_len = len};

	memcpy(sqe.file_id, file->id, PAGE_ID_BYTES);
	if (w->fs->read_only) { /* may not seal */
		sqe.op = RING_OPEN;
		sqe.src = old;
		sqe.src_len = len;
	}
	return sqe;
}

int pages_verify_old(struct worker *w, const struct file *file, uint64_t index,
		     uint32_t len, uint32_t *flags)
{
	struct engine_op op = {.sqe = sqe_verify(w, file, index, len)};
	int ret = engine_call(w, &op);

	explicit_bzero(w->slot->sealed, PAGE_BYTES);
	*flags = op.cqe.flags;
	if (op.cqe.header_flags & FILE_SPARSE)
		*flags |= PAGES_SAW_SPARSE;
	return ret == -EBADMSG ? -EIO : ret;
}

/* Reads page @index to slot->old and verifies it. */
static int check_page(struct worker *w, const struct file *file, uint64_t index,
		      uint32_t *flags)
{
	uint32_t len = pages_on_disk(file, index);
	int ret = pages_read_backing(file->fd, w->slot->old, len, index * PAGE_BYTES);

	return ret ? ret : pages_verify_old(w, file, index, len, flags);
}

/* The flags of page 0 count only once it has been verified. */
static int authenticate_flags(struct worker *w, struct file *file)
{
	uint32_t flags;
	int ret = check_page(w, file, 0, &flags);

	if (!ret)
		file->sparse = flags & PAGES_SAW_SPARSE;
	return ret;
}

int pages_load_id(struct worker *w, struct file *file)
{
	struct {
		struct page_seal seal;
		struct page_header header;
	} head;
	int ret;

	/* the HSM has no numbers for pages that far out */
	if (file_size(file) > (uint64_t)LAYOUT_MAX_SIZE) {
		file->has_id = false;
		return -EFBIG;
	}
	if (file->has_id || !file->backing_size)
		return 0;
	if (file->backing_size <= sizeof(head))
		return -EIO;
	ret = pages_read_backing(file->fd, &head, sizeof(head), 0);
	if (ret)
		return ret;
	memcpy(file->id, head.header.file_id, PAGE_ID_BYTES);
	file->sparse = false;
	if (head.header.flags & FILE_SPARSE)
		ret = authenticate_flags(w, file);
	/* a page 0 that does not verify costs the file its holes, not its other pages */
	if (ret == -EIO)
		ret = 0;
	file->has_id = !ret;
	return ret;
}

/*
 * Nobody's range keeps others from writing the pages that are tried, and from tearing
 * them that way: but who writes has had the id proven.
 */
int pages_prove_id(struct worker *w, struct file *file)
{
	uint64_t pages = layout_pages(file_size(file));
	uint64_t candidates[] = {1, pages - 1, 2, pages - 2};
	uint32_t flags;
	int ret = -EIO;

	if (__atomic_load_n(&file->proven, __ATOMIC_ACQUIRE) || pages < 4)
		return 0;
	for (int i = 0; i < 4 && ret == -EIO; i++) {
		ret = check_page(w, file, candidates[i], &flags);
		if (!ret && (flags & RING_SAW_HOLE))
			ret = -EIO;
	}
	if (!ret)
		__atomic_store_n(&file->proven, true, __ATOMIC_RELEASE);
	return __atomic_load_n(&file->proven, __ATOMIC_ACQUIRE) ? 0 : ret;
}

int pages_end_right(struct worker *w, struct file *file)
{
	uint64_t size = file_size(file);
	uint32_t flags;
	int ret;

	if (file->end_right || w->fs->unsettled || !file->backing_size)
		return 0;
	if (layout_backing_size(size) != file->backing_size)
		return -EIO;
	ret = check_page(w, file, layout_page(size - 1), &flags);
	if (!ret && !(flags & RING_SAW_FINAL_LAST))
		ret = -EIO;
	file->end_right = !ret;
	return ret;
}

int pages_new_id(struct file *file)
{
	if (getrandom(file->id, PAGE_ID_BYTES, 0) != PAGE_ID_BYTES)
		return -EIO;
	file->has_id = file->proven = true;
	file->sparse = false;
	return 0;
}

int pages_reseal(struct worker *w, const struct file *file, uint64_t index, uint32_t len,
		 bool final)
{
	struct engine_op op = {
		.sqe = {.op = RING_SEAL,
			.count = 1,
			.flags = (uint8_t)((final ? RING_SEAL_FINAL : 0) |
					   (file->sparse ? RING_OPEN_HOLES : 0)),
			.first_page = index,
			.last_len = len,
			.dst = engine_offset(&w->engine, w->slot->sealed),
			.dst_len = PAGE_BYTES,
			.old_first = engine_offset(&w->engine, w->slot->old),
			.old_first_len = pages_on_disk(file, index),
			.header_flags = file->sparse ? FILE_SPARSE : 0}};
	int ret;

	memcpy(op.sqe.file_id, file->id, PAGE_ID_BYTES);
	ret = pages_read_backing(file->fd, w->slot->old, op.sqe.old_first_len,
				 index * PAGE_BYTES);
	if (!ret)
		ret = engine_call(w, &op);
	return ret == -EBADMSG ? -EIO : ret;
}

int pages_replace(const struct worker *w, const struct file *file, uint64_t index,
		  uint32_t len)
{
	uint64_t at = index * PAGE_BYTES;
	int ret = pages_write_backing(file->fd, w->slot->sealed, len, at);

	if (ret &&
	    pages_write_backing(file->fd, w->slot->old, pages_on_disk(file, index), at))
		log_warn("a page may have been damaged by a write that failed (%s)",
			 strerror(-ret));
	return ret;
}

int pages_make_sparse(struct worker *w, struct file *file)
{
	uint64_t size = file_size(file);
	int ret = pages_end_right(w, file);

	if (ret || file->sparse)
		return ret;
	/* the old page 0 is opened with the flags it has; only the new one is sparse */
	file->sparse = true;
	if (!size)
		return 0;
	ret = pages_reseal(w, file, 0, layout_content(0, size), layout_pages(size) == 1);
	if (!ret)
		ret = pages_replace(w, file, 0, pages_on_disk(file, 0));
	/* a hole that became durable before the flag would be damage */
	if (!ret && file->durable_pages)
		ret = pages_sync(w, file);
	if (ret)
		file->sparse = false;
	return ret;
}

void pages_lost(struct file *file)
{
	__atomic_add_fetch(&file->nr_lost, 1, __ATOMIC_SEQ_CST);
}

int pages_sync(struct worker *w, struct file *file)
{
	int error;

	worker_leave_seat(w);
	while (fdatasync(file->fd)) {
		error = errno;
		if (error == EINTR)
			continue;
		pages_lost(file);
		return -error;
	}
	return 0;
}
