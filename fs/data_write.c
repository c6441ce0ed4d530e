/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/data.h"
#include "fs/inode.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

static void finish(struct worker *w, struct data_request *request, int ret)
{
	free(request->inner);
	range_release(&request->inode->file->pages, &request->range);
	request->done(w, request, ret, NULL);
}

static bool extends(const struct data_request *request)
{
	return request->off + request->size > file_size(request->inode->file);
}

static uint64_t nr_pages(const struct data_request *request)
{
	return request->last - request->first + 1;
}

/*
 * The pages a write touches: those under its data and, when it begins right behind the
 * last page, that page too, because it stops being the last, if they are not too many for
 * one operation then.
 */
static void plan(struct data_request *request)
{
	uint64_t pages;

	request->old_size = file_size(request->inode->file);
	pages = layout_pages(request->old_size);
	request->new_size = request->off + request->size;
	if (request->new_size < request->old_size)
		request->new_size = request->old_size;
	request->first = layout_page(request->off);
	request->last = layout_page(request->off + request->size - 1);
	if (pages && request->first == pages && nr_pages(request) < RING_MAX_PAGES)
		request->first--;
}

/* A write behind the end changes the end: it keeps everybody from there on out. */
static void set_range(struct data_request *request)
{
	plan(request);
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

/* Whether the write would make a hole, in a file that has none. */
static bool makes_hole(const struct data_request *request)
{
	uint64_t pages = layout_pages(request->old_size);

	return !request->inode->file->sparse && request->first > (pages ? pages : 1);
}

/*
 * Locks, and again if the end has moved between looking and locking. What is to fill the
 * hole may have been sent before, and another worker have taken it but not locked yet: it
 * comes first. 0 or -EINTR.
 */
static int lock_pages(struct worker *w, struct data_request *request)
{
	struct range *range = &request->range;
	struct file *file = request->inode->file;
	bool passed = false;
	int ret;

	*range = (struct range){.exclusive = true,
				.place = extends(request) ? request->off + 1 : 0};
	for (;;) {
		bool moved;

		set_range(request);
		ret = pages_lock(w, file, range);
		if (ret)
			break;
		moved = file_size(file) != request->old_size;
		if (!moved && (passed || !makes_hole(request)))
			return 0;
		if (moved && range->last != RANGE_END && !extends(request)) {
			plan(request);
			return 0;
		}
		range_step_back(&file->pages, range);
		if (moved)
			continue;
		passed = true;
		ret = worker_let_pass(w);
		if (ret)
			break;
	}
	range_withdraw(&file->pages, range);
	return ret;
}

/* Writes the @len bytes of sealed pages to a file that ends before they do. */
static int write_growing(struct worker *w, struct data_request *request, uint32_t len)
{
	uint64_t pages = layout_pages(request->old_size);
	struct size_pages behind = {request->slot->sealed, len, request->first};

	if (request->first < pages) {
		uint64_t have = (pages - request->first) * PAGE_BYTES;

		request->upto = behind;
		if (have < len)
			request->upto.len = (uint32_t)have;
		behind.sealed += request->upto.len;
		behind.len -= request->upto.len;
		behind.first = pages;
	}
	return size_grow(w, request->inode->file, &behind, &request->upto);
}

static void written(struct worker *w, struct engine_op *op)
{
	struct data_request *request = (struct data_request *)op;
	int ret = op->cqe.status;

	if (ret == -EBADMSG)
		ret = -EIO;
	if (!ret && request->new_size > request->old_size)
		ret = write_growing(w, request, op->cqe.len);
	else if (!ret)
		ret = pages_write_backing(request->inode->file->fd, request->slot->sealed,
					  op->cqe.len, request->first * PAGE_BYTES);
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

/* What to fetch: the old pages that are needed, those at the write's edges. */
static void fetch_old(struct data_request *request, uint32_t first_len, uint32_t last_len)
{
	uint8_t *old = request->slot->old;
	struct fetch_range *first = &request->fetch.ranges[0];
	struct fetch_range *last = &request->fetch.ranges[1];

	request->fetch.fd = request->inode->file->fd;
	*first = (struct fetch_range){old, first_len, request->first * PAGE_BYTES};
	*last = (struct fetch_range){old + PAGE_BYTES, last_len,
				     request->last * PAGE_BYTES};
	/* the commonest case, a small write across two pages, takes one system call */
	if (first_len == PAGE_BYTES && request->last == request->first + 1) {
		first->len += last_len;
		last->len = 0;
	}
}

/* The descriptor that seals the request's pages, and what to fetch for it. */
static void prepare(struct worker *w, struct data_request *request)
{
	struct file *file = request->inode->file;
	struct engine_slot *slot = request->slot;
	struct ring_sqe *sqe = &request->op.sqe;
	uint32_t first_len = surviving(request, request->first);
	uint32_t last_len =
		request->last > request->first ? surviving(request, request->last) : 0;

	fetch_old(request, first_len, last_len);
	*sqe = (struct ring_sqe){
		.op = RING_SEAL,
		.count = (uint16_t)nr_pages(request),
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
}

static void fetched(struct worker *w, struct fetch *fetch, int error)
{
	struct data_request *request = data_of_fetch(fetch);

	if (error) {
		finish(w, request, error);
		return;
	}
	request->op.done = written;
	engine_submit(w, &request->op);
}

/* Seals what the old last page becomes when the write does not touch it. */
static int prepare_gap(struct worker *w, struct data_request *request)
{
	request->inner = malloc(PAGE_BYTES);
	if (!request->inner)
		return -ENOMEM;
	return size_seal_inner(w, request->inode->file, request->first, request->inner,
			       &request->upto);
}

/* Id, and the end as far as the write concerns it. 0 or -errno. */
static int prepare_file(struct worker *w, struct data_request *request)
{
	struct file *file = request->inode->file;
	uint64_t pages = layout_pages(request->old_size);
	int ret;

	if (!pages_backing_size(file))
		ret = pages_new_id(file);
	else
		ret = file->has_id ? pages_prove_id(w, file) : -EIO;
	if (!ret && request->last + 1 >= pages)
		ret = pages_end_right(w, file);
	if (!ret && request->first && request->first >= pages)
		ret = prepare_gap(w, request);
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
	request->inner = NULL;
	request->upto = (struct size_pages){0};
	ret = lock_pages(w, request);
	if (ret) {
		request->done(w, request, ret, NULL);
		return;
	}
	ret = prepare_file(w, request);
	if (ret) {
		finish(w, request, ret);
		return;
	}
	prepare(w, request);
	request->fetch.done = fetched;
	fetch_start(w, &request->fetch);
}
