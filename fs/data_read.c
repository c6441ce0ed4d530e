/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "fs/data.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

static void finish(struct worker *w, struct data_request *request, int ret,
		   const uint8_t *data)
{
	range_release(&request->inode->file->pages, &request->range);
	request->done(w, request, ret, data);
}

/* FINAL must be on the file's last page and on no other: else it was cut or lengthened.
 */
static bool ends_right(const struct worker *w, const struct data_request *request)
{
	const struct file *file = request->inode->file;
	bool reaches_end = request->last + 1 == layout_pages(file_size(file));
	uint32_t flags = request->op.cqe.flags;

	if (w->fs->unsettled)
		return true;
	return !(flags & RING_SAW_FINAL_INNER) &&
	       !!(flags & RING_SAW_FINAL_LAST) == reaches_end;
}

static void opened(struct worker *w, struct engine_op *op)
{
	struct data_request *request = (struct data_request *)op;
	uint64_t skip = request->off - layout_page_start(request->first);
	int ret = op->cqe.status;

	if (ret == -EBADMSG || (!ret && !ends_right(w, request)))
		ret = -EIO;
	finish(w, request, ret ? ret : (int)request->size, request->slot->data + skip);
}

/* Cuts the request to the file's end. False when nothing is left. */
static bool clip(struct data_request *request)
{
	uint64_t size = file_size(request->inode->file);

	if (request->off >= size)
		return false;
	if (request->size > size - request->off)
		request->size = (uint32_t)(size - request->off);
	request->first = layout_page(request->off);
	request->last = layout_page(request->off + request->size - 1);
	return true;
}

/* The descriptor that opens the pages, and what to fetch for it. 0 or -errno. */
static int prepare(struct worker *w, struct data_request *request)
{
	struct file *file = request->inode->file;
	struct engine_slot *slot = request->slot;
	uint64_t start = request->first * PAGE_BYTES;
	uint64_t end = (request->last + 1) * PAGE_BYTES;
	int ret;

	if (!file->has_id)
		return -EIO;
	ret = request->last == 0 ? pages_prove_id(w, file) : 0;
	if (ret)
		return ret;
	if (end > pages_backing_size(file))
		end = pages_backing_size(file);
	request->op.sqe =
		(struct ring_sqe){.op = RING_OPEN,
				  .flags = file->sparse ? RING_OPEN_HOLES : 0,
				  .count = (uint16_t)(request->last - request->first + 1),
				  .first_page = request->first,
				  .src = engine_offset(&w->engine, slot->sealed),
				  .src_len = (uint32_t)(end - start),
				  .dst = engine_offset(&w->engine, slot->data),
				  .dst_len = ENGINE_DATA_BYTES};
	memcpy(request->op.sqe.file_id, file->id, PAGE_ID_BYTES);
	request->fetch = (struct fetch){.fd = file->fd,
					.ranges = {{slot->sealed, end - start, start}}};
	return 0;
}

static void fetched(struct worker *w, struct fetch *fetch, int error)
{
	struct data_request *request = data_of_fetch(fetch);

	if (error) {
		finish(w, request, error, NULL);
		return;
	}
	request->op.done = opened;
	engine_submit(w, &request->op);
}

void data_read(struct worker *w, struct data_request *request)
{
	int ret;

	if (!request->size) {
		request->done(w, request, 0, request->slot->data);
		return;
	}
	request->range =
		(struct range){.first = layout_page(request->off),
			       .last = layout_page(request->off + request->size - 1)};
	ret = pages_lock(w, request->inode->file, &request->range);
	if (ret) {
		request->done(w, request, ret, NULL);
		return;
	}
	if (!clip(request)) {
		finish(w, request, 0, request->slot->data);
		return;
	}
	ret = prepare(w, request);
	if (ret) {
		finish(w, request, ret, NULL);
		return;
	}
	request->fetch.done = fetched;
	fetch_start(w, &request->fetch);
}
