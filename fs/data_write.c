/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "fs/data.h"
#include "fs/inode.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

static void finish(struct worker *w, struct data_request *request, int ret)
{
	range_release(&request->inode->file.pages, &request->range);
	request->done(w, request, ret, NULL);
}

static bool extends(const struct data_request *request)
{
	return request->off + request->size > file_size(&request->inode->file);
}

/*
 * The pages a write touches: those under its data and, when it begins right behind a full
 * last page, that page too, because it stops being the last.
 */
static void plan(struct data_request *request)
{
	uint64_t pages;

	request->old_size = file_size(&request->inode->file);
	pages = layout_pages(request->old_size);
	request->new_size = request->off + request->size;
	if (request->new_size < request->old_size)
		request->new_size = request->old_size;
	request->first = layout_page(request->off);
	request->last = layout_page(request->off + request->size - 1);
	if (pages && request->first == pages)
		request->first--;
}

/* A write behind the end changes the end: it keeps everybody from there on out. */
static void set_range(struct data_request *request)
{
	plan(request);
	request->range.exclusive = true;
	request->range.first = request->first;
	request->range.last = request->last;
	if (extends(request)) {
		uint64_t pages = layout_pages(request->old_size);

		if (pages && pages - 1 < request->first)
			request->range.first = pages - 1;
		if (request->first > pages)
			request->range.first = 0; /* the sparse flag is in page 0 */
		request->range.last = RANGE_END;
	}
}

/* Locks, and again if the end has moved between looking and locking. */
static void lock_pages(struct worker *w, struct data_request *request)
{
	struct file *file = &request->inode->file;

	for (;;) {
		uint64_t seen;

		set_range(request);
		seen = request->old_size;
		pages_lock(w, file, &request->range);
		if (file_size(file) == seen)
			return;
		if (request->range.last != RANGE_END && !extends(request)) {
			plan(request);
			return;
		}
		range_release(&file->pages, &request->range);
	}
}

/* A failed write must not leave a file without a FINAL page. */
static void restore_end(struct worker *w, struct data_request *request)
{
	struct engine_slot *current = w->slot;

	w->slot = request->slot;
	pages_restore_end(w, &request->inode->file, request->old_size);
	w->slot = current;
}

/* Where the page that was the last one ends after the write, on disk. */
static uint64_t end_of_old_page(const struct data_request *request)
{
	uint64_t last = layout_pages(request->old_size) - 1;

	return last * PAGE_BYTES + page_overhead(last) +
	       layout_content(last, request->new_size);
}

/* Does the write make the page that was the last one longer? */
static bool grows_in_place(const struct data_request *request)
{
	uint64_t pages = layout_pages(request->old_size);

	return pages && request->first <= pages - 1 && pages - 1 <= request->last &&
	       end_of_old_page(request) > layout_backing_size(request->old_size);
}

static void written(struct worker *w, struct engine_op *op)
{
	struct data_request *request = (struct data_request *)op;
	struct file *file = &request->inode->file;
	uint64_t start = request->first * PAGE_BYTES;
	int ret = op->cqe.status;

	if (!ret && grows_in_place(request))
		ret = pages_order_growth(file, end_of_old_page(request));
	if (!ret) {
		request->touched = true;
		ret = pages_write_backing(file->fd, request->slot->sealed, op->cqe.len,
					  start);
	} else if (ret == -EBADMSG) {
		ret = -EIO;
	}
	if (!ret && request->new_size > request->old_size)
		__atomic_store_n(&file->backing_size,
				 layout_backing_size(request->new_size),
				 __ATOMIC_RELAXED);
	if (ret && request->touched && request->new_size > request->old_size)
		restore_end(w, request);
	finish(w, request, ret ? ret : (int)request->size);
}

/* Bytes of page @index on disk before the write; 0 when there is no such page. */
static uint32_t old_bytes(const struct data_request *request, uint64_t index)
{
	if (index >= layout_pages(request->old_size))
		return 0;
	return page_overhead(index) + layout_content(index, request->old_size);
}

/* Bytes of page @index on disk if any of them survive the write, else 0. */
static uint32_t surviving(const struct data_request *request, uint64_t index)
{
	uint64_t start = layout_page_start(index);
	uint32_t len = old_bytes(request, index);
	uint64_t old_end = start + len - page_overhead(index);

	if (len && request->off <= start && request->off + request->size >= old_end)
		return 0;
	return len;
}

/* Reads the old pages that are needed: those at the write's edges. 0 or -errno. */
static int read_old(const struct data_request *request, uint32_t first_len,
		    uint32_t last_len)
{
	int fd = request->inode->file.fd;
	uint8_t *old = request->slot->old;
	int ret = 0;

	/* the commonest case, a small write across two pages, takes one system call */
	if (first_len == PAGE_BYTES && last_len && request->last == request->first + 1)
		return pages_read_backing(fd, old, first_len + last_len,
					  request->first * PAGE_BYTES);
	if (first_len)
		ret = pages_read_backing(fd, old, first_len, request->first * PAGE_BYTES);
	if (!ret && last_len)
		ret = pages_read_backing(fd, old + PAGE_BYTES, last_len,
					 request->last * PAGE_BYTES);
	return ret;
}

/* The descriptor that seals the request's pages. 0 or -errno. */
static int prepare(struct worker *w, struct data_request *request)
{
	struct file *file = &request->inode->file;
	struct engine_slot *slot = request->slot;
	struct ring_sqe *sqe = &request->op.sqe;
	uint32_t first_len = surviving(request, request->first);
	uint32_t last_len =
		request->last > request->first ? surviving(request, request->last) : 0;
	int ret = read_old(request, first_len, last_len);

	if (ret)
		return ret;
	*sqe = (struct ring_sqe){
		.op = RING_SEAL,
		.count = (uint16_t)(request->last - request->first + 1),
		.first_page = request->first,
		.last_len = layout_content(request->last, request->new_size),
		.src = engine_offset(&w->engine, slot->data),
		.src_len = request->size,
		.skip = (uint32_t)(request->off - layout_page_start(request->first)),
		.dst = engine_offset(&w->engine, slot->sealed),
		.dst_len = ENGINE_DATA_BYTES,
		.old_first = engine_offset(&w->engine, slot->old),
		.old_first_len = first_len,
		.old_last = engine_offset(&w->engine, slot->old + PAGE_BYTES),
		.old_last_len = last_len,
		.header_flags = file->sparse ? FILE_SPARSE : 0};
	if (file->sparse)
		sqe->flags |= RING_OPEN_HOLES;
	if (request->last + 1 == layout_pages(request->new_size))
		sqe->flags |= RING_SEAL_FINAL;
	memcpy(sqe->file_id, file->id, PAGE_ID_BYTES);
	return 0;
}

/* Id, and whatever must be on disk between the old end and the first page. */
static int prepare_file(struct worker *w, struct data_request *request)
{
	struct file *file = &request->inode->file;
	int ret = 0;

	request->touched = false;
	if (!file->has_id)
		ret = request->old_size ? -EIO : pages_new_id(file);
	else
		ret = pages_prove_id(w, file);
	if (ret || request->first <= layout_pages(request->old_size))
		return ret;
	request->touched = true;
	request->op.interrupted = NULL;
	ret = pages_extend_to(w, file, request->first);
	if (ret)
		restore_end(w, request);
	return ret;
}

void data_write(struct worker *w, struct data_request *request)
{
	int ret;

	if (!request->size) {
		request->done(w, request, 0, NULL);
		return;
	}
	if (request->off + request->size > (uint64_t)LAYOUT_MAX_SIZE) {
		request->done(w, request, -EFBIG, NULL);
		return;
	}
	lock_pages(w, request);
	ret = prepare_file(w, request);
	if (!ret)
		ret = prepare(w, request);
	if (ret) {
		finish(w, request, ret);
		return;
	}
	request->op.done = written;
	engine_submit(w, &request->op);
}
