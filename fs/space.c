/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/inode.h"
#include "fs/pages.h"
#include "fs/size.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

/* Pages first..end-1. */
struct extent {
	uint64_t first, end;
};

/* The pages within [@off, @end) that may become holes: neither the first nor the last. */
static struct extent holes_within(const struct file *file, uint64_t off, uint64_t end)
{
	uint64_t final = layout_pages(file_size(file)) - 1;
	struct extent holes = {.first = layout_page(off), .end = layout_page(end)};

	if (!holes.first || layout_page_start(holes.first) < off)
		holes.first++;
	if (holes.end > final)
		holes.end = final;
	return holes;
}

static bool is_hole(const struct file *file, uint64_t index, const uint8_t *page,
		    uint32_t len)
{
	return file->sparse && index && len == PAGE_BYTES && !page[0] &&
	       !memcmp(page, page + 1, len - 1);
}

/* Zeros for what of [@off, @end) is in page @index, which stays a sealed one. */
static int zero_part(struct worker *w, struct file *file, uint64_t index, uint64_t off,
		     uint64_t end)
{
	uint64_t size = file_size(file), start = layout_page_start(index);
	uint32_t content = layout_content(index, size);
	uint32_t old_len = page_overhead(index) + content;
	bool final = index + 1 == layout_pages(size);
	uint64_t from = off > start ? off - start : 0;
	uint64_t to = end - start < content ? end - start : content;
	struct engine_op op = {
		.sqe = {.op = RING_SEAL,
			.flags = (uint8_t)((final ? RING_SEAL_FINAL : 0) |
					   (file->sparse ? RING_OPEN_HOLES : 0)),
			.count = 1,
			.first_page = index,
			.last_len = content,
			.src = engine_offset(&w->engine, w->slot->data),
			.src_len = (uint32_t)(to - from),
			.skip = (uint32_t)from,
			.dst = engine_offset(&w->engine, w->slot->sealed),
			.dst_len = PAGE_BYTES,
			.old_first = engine_offset(&w->engine, w->slot->old),
			.old_first_len = old_len,
			.header_flags = file->sparse ? FILE_SPARSE : 0}};
	int ret = pages_read_backing(file->fd, w->slot->old, old_len, index * PAGE_BYTES);

	if (ret || is_hole(file, index, w->slot->old, old_len))
		return ret;
	memset(w->slot->data, 0, PAGE_BYTES);
	memcpy(op.sqe.file_id, file->id, PAGE_ID_BYTES);
	ret = engine_call(w, &op);
	if (ret)
		return ret == -EBADMSG ? -EIO : ret;
	return pages_replace(w, file, index, old_len);
}

static int fallocate_backing(const struct file *file, int mode, uint64_t start,
			     uint64_t len)
{
	while (fallocate(file->fd, FALLOC_FL_KEEP_SIZE | mode, (off_t)start, (off_t)len))
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* For stores that know no holes. */
static int write_zeros(struct worker *w, const struct file *file, uint64_t start,
		       uint64_t len)
{
	int ret = 0;

	memset(w->slot->sealed, 0, ENGINE_DATA_BYTES);
	while (len && !ret) {
		uint64_t part = len < ENGINE_DATA_BYTES ? len : ENGINE_DATA_BYTES;

		ret = pages_write_backing(file->fd, w->slot->sealed, part, start);
		start += part;
		len -= part;
	}
	return ret;
}

/*
 * The page that was the last when the file became durable shows, after a crash, where it
 * ended at least. Before it becomes a hole the end there is now must be durable.
 */
static int keep_end(struct worker *w, struct file *file, const struct extent *holes)
{
	int ret;

	if (holes->first >= file->durable_pages || holes->end < file->durable_pages)
		return 0;
	ret = pages_sync(w, file);
	if (!ret)
		file->durable_pages = layout_pages(file_size(file));
	return ret;
}

static int make_holes(struct worker *w, struct file *file, enum space_change what,
		      const struct extent *holes)
{
	uint64_t start = holes->first * PAGE_BYTES;
	uint64_t len = (holes->end - holes->first) * PAGE_BYTES;
	int ret = pages_make_sparse(w, file);

	if (!ret)
		ret = keep_end(w, file, holes);
	if (ret)
		return ret;
	ret = -EOPNOTSUPP;
	if (what == SPACE_ZERO)
		ret = fallocate_backing(file, FALLOC_FL_ZERO_RANGE, start, len);
	if (ret == -EOPNOTSUPP)
		ret = fallocate_backing(file, FALLOC_FL_PUNCH_HOLE, start, len);
	if (ret == -EOPNOTSUPP)
		ret = write_zeros(w, file, start, len);
	return ret;
}

static int zero(struct worker *w, struct file *file, enum space_change what, uint64_t off,
		uint64_t end)
{
	uint64_t size = file_size(file), index;
	struct extent holes;
	int ret = 0;

	if (end > size)
		end = size;
	if (off >= end)
		return 0;
	holes = holes_within(file, off, end);
	if (holes.first < holes.end)
		ret = make_holes(w, file, what, &holes);
	for (index = layout_page(off); !ret && index <= layout_page(end - 1); index++) {
		if (index >= holes.first && index < holes.end)
			index = holes.end - 1;
		else
			ret = zero_part(w, file, index, off, end);
	}
	return ret;
}

/* Room on the disk. What is not written yet reads as zeros: only holes get it. */
static int reserve(struct file *file, uint64_t off, uint64_t end)
{
	uint64_t start = layout_page(off) * PAGE_BYTES;

	return fallocate_backing(file, 0, start,
				 (layout_page(end - 1) + 1) * PAGE_BYTES - start);
}

static int change(struct worker *w, struct file *file, enum space_change what,
		  uint64_t off, uint64_t end, bool keep_size)
{
	int ret = pages_load_id(w, file);

	if (!ret)
		ret = pages_end_right(w, file);
	if (!ret && what == SPACE_ALLOCATE)
		ret = reserve(file, off, end);
	else if (!ret)
		ret = zero(w, file, what, off, end);
	if (!ret && !keep_size && end > file_size(file))
		ret = size_set(w, file, end);
	return ret;
}

int space_change(struct worker *w, struct inode *inode, enum space_change what,
		 uint64_t off, uint64_t len, bool keep_size)
{
	struct range range = {.first = 0, .last = RANGE_END, .exclusive = true};
	struct file *file = inode->file;
	int ret;

	if (len > (uint64_t)LAYOUT_MAX_SIZE || off > (uint64_t)LAYOUT_MAX_SIZE - len)
		return -EFBIG;
	ret = worker_may_block(w);
	if (!ret)
		ret = pages_lock(w, file, &range);
	if (ret)
		return ret;
	ret = change(w, file, what, off, off + len, keep_size);
	range_release(&file->pages, &range);
	return ret;
}

static int seek(const struct file *file, uint64_t off, bool hole, uint64_t *found)
{
	uint64_t size = file_size(file), page;
	off_t at;

	if (off >= size)
		return -ENXIO;
	*found = hole ? size : off;
	if (!file->sparse)
		return 0;
	at = lseek(file->fd, (off_t)(layout_page(off) * PAGE_BYTES),
		   hole ? SEEK_HOLE : SEEK_DATA);
	if (at < 0)
		return -errno;
	/* a page of which only a part is there is no hole */
	page = ((uint64_t)at + (hole ? PAGE_BYTES - 1 : 0)) / PAGE_BYTES;
	if (page < layout_pages(size))
		*found = layout_page_start(page);
	if (*found < off)
		*found = off;
	return 0;
}

int space_seek(struct worker *w, struct inode *inode, uint64_t off, bool hole,
	       uint64_t *found)
{
	struct range range = {.first = 0, .last = RANGE_END};
	int ret = pages_lock(w, inode->file, &range);

	if (ret)
		return ret;
	ret = seek(inode->file, off, hole, found);
	range_release(&inode->file->pages, &range);
	return ret;
}
