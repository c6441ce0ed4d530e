/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/log.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

enum { SETTLE_PAGES = 65536 };

static void set_backing_size(struct file *file, uint64_t size)
{
	__atomic_store_n(&file->backing_size, size, __ATOMIC_RELAXED);
}

/* What of @file another machine may have changed. */
static int look_again(struct worker *w, struct file *file)
{
	struct page_header header;
	struct stat st;

	if (fstat(file->fd, &st))
		return -errno;
	set_backing_size(file, (uint64_t)st.st_size);
	if (file->has_id && file->backing_size > PAGE_SEAL_BYTES + sizeof(header) &&
	    !pages_read_backing(file->fd, &header, sizeof(header), PAGE_SEAL_BYTES) &&
	    !memcmp(file->id, header.file_id, PAGE_ID_BYTES) &&
	    file->sparse == !!(header.flags & FILE_SPARSE))
		return 0;
	file->has_id = false;
	return pages_load_id(w, file);
}

/*
 * The whole file, against other machines too where the store can do that (else they must
 * not write to one file at the same time). Nothing else is held meanwhile, so that two
 * machines cannot wait for each other.
 */
static void lock_shared(struct worker *w, struct file *file, struct range *range)
{
	struct flock all = {.l_type = file->writable ? F_WRLCK : F_RDLCK,
			    .l_whence = SEEK_SET};

	range->first = 0;
	range->last = RANGE_END;
	range->exclusive = true;
	worker_may_block(w);
	range_wait(&file->pages, range);
	while (fcntl(file->fd, F_OFD_SETLKW, &all) && errno == EINTR)
		;
	range_set_outer(&file->pages, file->fd);
	/* whoever finds no id in a file that is not empty reports the damage */
	look_again(w, file);
}

void pages_lock(struct worker *w, struct file *file, struct range *range)
{
	if (w->fs->shared) {
		lock_shared(w, file, range);
		return;
	}
	if (range_try(&file->pages, range))
		return;
	engine_finish(w);
	if (range_try(&file->pages, range))
		return;
	worker_may_block(w);
	range_wait(&file->pages, range);
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

uint64_t file_size(const struct file *file)
{
	return layout_plain_size(__atomic_load_n(&file->backing_size, __ATOMIC_RELAXED));
}

int pages_order_growth(struct file *file, uint64_t end)
{
	/* taken back first: an fsync that ends meanwhile sets it again */
	if (!__atomic_exchange_n(&file->end_durable, false, __ATOMIC_SEQ_CST))
		return 0;
	if (!ftruncate(file->fd, (off_t)end) && !fdatasync(file->fd))
		return 0;
	__atomic_store_n(&file->end_durable, true, __ATOMIC_SEQ_CST);
	return -errno;
}

/* Bytes of page @index that are on disk; 0 when the file does not reach it. */
static uint32_t bytes_on_disk(const struct file *file, uint64_t index)
{
	uint64_t start = index * PAGE_BYTES;

	if (file->backing_size <= start + page_overhead(index))
		return 0;
	return file->backing_size - start < PAGE_BYTES
		       ? (uint32_t)(file->backing_size - start)
		       : PAGE_BYTES;
}

/* Opens one page of @len bytes that is in slot->old; its content goes to slot->sealed. */
static int open_page(struct worker *w, const struct file *file, uint64_t index,
		     uint32_t len, struct engine_op *op)
{
	int ret;

	*op = (struct engine_op){
		.sqe = {.op = RING_OPEN,
			.count = 1,
			.flags = file->sparse ? RING_OPEN_HOLES : 0,
			.first_page = index,
			.src = engine_offset(&w->engine, w->slot->old),
			.src_len = len,
			.dst = engine_offset(&w->engine, w->slot->sealed),
			.dst_len = PAGE_BYTES}};
	memcpy(op->sqe.file_id, file->id, PAGE_ID_BYTES);
	ret = engine_call(w, op);
	return ret == -EBADMSG ? -EIO : ret;
}

/* The flags of page 0 count only once it has been opened. */
static int authenticate_flags(struct worker *w, struct file *file)
{
	uint32_t len = bytes_on_disk(file, 0);
	struct engine_op op;
	int ret;

	ret = pages_read_backing(file->fd, w->slot->old, len, 0);
	if (!ret)
		ret = open_page(w, file, 0, len, &op);
	explicit_bzero(w->slot->sealed, PAGE_BYTES);
	if (!ret)
		file->sparse = op.cqe.header_flags & FILE_SPARSE;
	return ret;
}

int pages_load_id(struct worker *w, struct file *file)
{
	struct {
		struct page_seal seal;
		struct page_header header;
	} head;
	int ret;

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

/* Does page @index verify under the file's id? */
static int check_page(struct worker *w, struct file *file, uint64_t index)
{
	uint32_t len = bytes_on_disk(file, index);
	struct engine_op op;
	int ret;

	ret = pages_read_backing(file->fd, w->slot->old, len, index * PAGE_BYTES);
	if (!ret)
		ret = open_page(w, file, index, len, &op);
	explicit_bzero(w->slot->sealed, PAGE_BYTES);
	if (!ret && (op.cqe.flags & RING_SAW_HOLE))
		ret = -EIO;
	return ret;
}

int pages_prove_id(struct worker *w, struct file *file)
{
	uint64_t pages = layout_pages(file_size(file));
	uint64_t candidates[] = {1, pages - 1, 2, pages - 2};
	int ret = -EIO;

	if (file->proven || pages < 4)
		return 0;
	for (int i = 0; i < 4 && ret == -EIO; i++)
		ret = check_page(w, file, candidates[i]);
	file->proven = !ret;
	return ret;
}

int pages_new_id(struct file *file)
{
	if (getrandom(file->id, PAGE_ID_BYTES, 0) != PAGE_ID_BYTES)
		return -EIO;
	file->has_id = file->proven = true;
	file->sparse = false;
	/* nothing of the new content is on disk yet, let alone acknowledged */
	__atomic_store_n(&file->end_durable, false, __ATOMIC_SEQ_CST);
	return 0;
}

/*
 * Once the first of several steps is on disk, being interrupted would leave a file whose
 * last page is not FINAL.
 */
static void must_finish(struct worker *w)
{
	w->interrupted = NULL;
}

int pages_reseal(struct worker *w, struct file *file, uint64_t index, uint32_t len,
		 bool final)
{
	uint32_t old_len = bytes_on_disk(file, index);
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
			.old_first_len = old_len,
			.header_flags = file->sparse ? FILE_SPARSE : 0}};
	uint64_t end = index * PAGE_BYTES + page_overhead(index) + len;
	int ret;

	memcpy(op.sqe.file_id, file->id, PAGE_ID_BYTES);
	ret = pages_read_backing(file->fd, w->slot->old, old_len, index * PAGE_BYTES);
	if (!ret)
		ret = engine_call(w, &op);
	if (ret)
		return ret == -EBADMSG ? -EIO : ret;
	must_finish(w);
	if (old_len && end > file->backing_size)
		ret = pages_order_growth(file, end);
	if (!ret)
		ret = pages_write_backing(file->fd, w->slot->sealed, op.cqe.len,
					  index * PAGE_BYTES);
	if (!ret && end > file->backing_size)
		set_backing_size(file, end);
	return ret;
}

int pages_make_sparse(struct worker *w, struct file *file)
{
	uint64_t size = file_size(file);
	uint32_t len = size ? layout_content(0, size) : PAGE_DATA0_BYTES;
	int ret;

	if (file->sparse)
		return 0;
	/* the old page 0 is opened with the flags it has; only the new one is sparse */
	file->sparse = true;
	ret = pages_reseal(w, file, 0, len, size && layout_pages(size) == 1);
	/* a hole that became durable before the flag would be damage */
	if (!ret && __atomic_load_n(&file->end_durable, __ATOMIC_RELAXED) &&
	    fdatasync(file->fd))
		ret = -errno;
	if (ret)
		file->sparse = false;
	return ret;
}

int pages_extend_to(struct worker *w, struct file *file, uint64_t index)
{
	uint64_t size = file_size(file);
	uint64_t pages = layout_pages(size);
	int ret = 0;

	if (index > pages && (pages || index > 1))
		ret = pages_make_sparse(w, file);
	if (ret || !index)
		return ret;
	/* an empty file's page 0, or the old last page: full now, and not the last */
	if (pages || !file->sparse)
		ret = pages_reseal(w, file, pages ? pages - 1 : 0,
				   page_capacity(pages ? pages - 1 : 0), false);
	if (!ret)
		set_backing_size(file, index * PAGE_BYTES);
	return ret;
}

static int set_backing_length(struct file *file, uint64_t length)
{
	while (ftruncate(file->fd, (off_t)length))
		if (errno != EINTR)
			return -errno;
	set_backing_size(file, length);
	return 0;
}

/*
 * Cuts in three steps so that after a crash between any two the last page tells what
 * happened: first to the new last page's end (FINAL is missing: settled with the length
 * that page has), then the shorter page is written (its seal states the length), then
 * the file is cut to that.
 */
static int shrink(struct worker *w, struct file *file, uint64_t size)
{
	uint64_t last = layout_page(size - 1);
	uint64_t page_end = (last + 1) * PAGE_BYTES;
	int ret = 0;

	if (file->backing_size > page_end)
		ret = set_backing_length(file, page_end);
	if (!ret)
		ret = pages_reseal(w, file, last, layout_content(last, size), true);
	/* the cut must not become durable before the page that ends there */
	if (!ret && fdatasync(file->fd))
		ret = -errno;
	return ret ? ret : set_backing_length(file, layout_backing_size(size));
}

void pages_restore_end(struct worker *w, struct file *file, uint64_t size)
{
	struct stat st;
	int ret = 0;

	/* the write may have got further than we know */
	if (fstat(file->fd, &st))
		ret = -errno;
	else
		set_backing_size(file, (uint64_t)st.st_size);
	if (!ret && size)
		ret = shrink(w, file, size);
	else if (!ret)
		ret = set_backing_length(file, 0);
	if (!size)
		file->has_id = false;
	if (ret)
		log_warn("a file could not be given back its end after a failed write "
			 "(%s); "
			 "its last page will read as damaged",
			 strerror(-ret));
}

static int extend(struct worker *w, struct file *file, uint64_t size)
{
	uint64_t last = layout_page(size - 1);
	uint64_t before = file->backing_size;
	int ret = 0;

	if (!file->has_id)
		ret = pages_new_id(file);
	if (!ret && last >= layout_pages(file_size(file)))
		ret = pages_extend_to(w, file, last);
	if (!ret)
		ret = pages_reseal(w, file, last, layout_content(last, size), true);
	if (ret)
		pages_restore_end(w, file, layout_plain_size(before));
	return ret;
}

int pages_set_size(struct worker *w, struct file *file, uint64_t size)
{
	uint64_t now = file_size(file);
	int ret;

	if (size > (uint64_t)LAYOUT_MAX_SIZE)
		return -EFBIG;
	if (size == 0) {
		ret = set_backing_length(file, 0);
		if (!ret)
			file->has_id = false;
		return ret;
	}
	/* the same size: still a truncate to the backing store, which moves the times */
	if (size == now)
		return set_backing_length(file, file->backing_size);
	ret = pages_load_id(w, file);
	if (ret)
		return ret;
	return size < now ? shrink(w, file, size) : extend(w, file, size);
}

/* A page as it is on disk, then with the length that its seal states. */
static int try_page(struct worker *w, struct file *file, uint64_t last, uint32_t *content,
		    bool *final)
{
	uint32_t len = bytes_on_disk(file, last);
	struct page_seal seal;
	struct engine_op op;
	int ret;

	ret = pages_read_backing(file->fd, w->slot->old, len, last * PAGE_BYTES);
	if (ret)
		return ret;
	memcpy(&seal, w->slot->old, sizeof(seal));
	*content = len - page_overhead(last);
	ret = open_page(w, file, last, len, &op);
	if (ret == -EIO && seal.length && seal.length < *content) {
		*content = seal.length;
		ret = open_page(w, file, last, page_overhead(last) + seal.length, &op);
	}
	explicit_bzero(w->slot->sealed, PAGE_BYTES);
	*final = !ret && (op.cqe.flags & RING_SAW_FINAL_LAST);
	return ret;
}

/*
 * A page before the last one that says it is the last, and verifies with the length it
 * states: the old end of a file whose growth was made durable without it. Looked for
 * backwards in the last SETTLE_PAGES pages. Found: its index and content. 0, -ENOENT,
 * -errno.
 */
static int find_old_end(struct worker *w, struct file *file, uint64_t last,
			uint64_t *index, uint32_t *content)
{
	uint64_t stop = last > SETTLE_PAGES ? last - SETTLE_PAGES : 0;
	struct page_seal seal;
	bool final;
	int ret;

	for (uint64_t i = last; i-- > stop;) {
		ret = pages_read_backing(file->fd, &seal, sizeof(seal), i * PAGE_BYTES);
		if (ret)
			return ret;
		if (!(seal.flags & PAGE_FINAL) || seal.version != PAGE_FORMAT_VERSION)
			continue;
		ret = try_page(w, file, i, content, &final);
		if (ret && ret != -EIO)
			return ret;
		*index = i;
		if (!ret && final)
			return 0;
	}
	return -ENOENT;
}

int pages_settle(struct worker *w, struct file *file)
{
	uint64_t size = file_size(file);
	uint64_t last, old_last;
	uint32_t content, old_content;
	bool final;
	int ret, old_end;

	ret = pages_load_id(w, file);
	if (ret || !size)
		return ret;
	last = layout_page(size - 1);
	ret = try_page(w, file, last, &content, &final);
	if (ret && ret != -EIO)
		return ret;
	old_end = find_old_end(w, file, last, &old_last, &old_content);
	if (old_end && old_end != -ENOENT)
		return old_end;
	if (!old_end) {
		last = old_last;
		content = old_content;
	} else if (ret || (final && content == layout_content(last, size))) {
		return ret;
	}
	size = layout_page_start(last) + content;
	ret = set_backing_length(file, layout_backing_size(size));
	if (!ret)
		ret = pages_reseal(w, file, last, content, true);
	if (!ret)
		log_warn("settled the end of a file at %llu bytes after an unclean close",
			 (unsigned long long)size);
	return ret;
}
