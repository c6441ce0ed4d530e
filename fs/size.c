/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/size.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/log.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

/* A file's end before it is moved. */
struct old_end {
	uint64_t last;		  /* page */
	uint32_t len;		  /* bytes of it that are on disk, 0: the file is empty */
	bool durable;		  /* what it holds may have been acknowledged */
	uint8_t page[PAGE_BYTES]; /* as on disk */
};

/* The file on disk gets @length bytes; what we take its length for stays. */
static int cut_at(const struct file *file, uint64_t length)
{
	while (ftruncate(file->fd, (off_t)length))
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int set_backing_length(struct file *file, uint64_t length)
{
	int ret = cut_at(file, length);

	if (!ret)
		pages_set_backing_size(file, length);
	return ret;
}

/* The end could not be given back: settling will, unless a later attempt does. */
static void leave_for_settling(struct worker *w, struct file *file, int error)
{
	file->cut_due = true;
	file->end_right = false;
	__atomic_store_n(&w->fs->unrestored, true, __ATOMIC_RELAXED);
	log_warn(
		"a file could not be given back its end after a change that failed (%s); "
		"it will be checked at the next mount",
		strerror(-error));
}

/* What an earlier failure left behind the end must not come up in a hole. */
static int finish_cut(struct file *file)
{
	int ret = file->cut_due ? cut_at(file, file->backing_size) : 0;

	if (!ret)
		file->cut_due = false;
	return ret;
}

static int remember_end(const struct file *file, struct old_end *old)
{
	uint64_t size = file_size(file);

	old->last = size ? layout_page(size - 1) : 0;
	old->len = size ? pages_on_disk(file, old->last) : 0;
	old->durable = old->last < file->durable_pages;
	return pages_read_backing(file->fd, old->page, old->len, old->last * PAGE_BYTES);
}

/*
 * Whether the old page is on disk before the cut, or not: after a crash in between the
 * cut must not go through the new one.
 */
static void give_back(struct worker *w, struct file *file, const struct old_end *old,
		      bool touched)
{
	int ret = 0;

	if (touched && old->len)
		ret = pages_write_backing(file->fd, old->page, old->len,
					  old->last * PAGE_BYTES);
	if (!ret && touched && old->durable)
		ret = pages_sync(w, file);
	if (!ret)
		ret = cut_at(file, file->backing_size);
	if (ret)
		leave_for_settling(w, file, ret);
}

static uint64_t end_of(const struct size_pages *pages)
{
	return pages->first * PAGE_BYTES + pages->len;
}

static int write_pages(const struct file *file, const struct size_pages *pages)
{
	return pages_write_backing(file->fd, pages->sealed, pages->len,
				   pages->first * PAGE_BYTES);
}

/*
 * A page whose content is durable and whose new length is not would, after a power
 * failure, be cut inside its ciphertext, and what had been acknowledged of it be lost
 * with the rest: each time it is written longer, the size goes first.
 */
static int order_growth(struct worker *w, struct file *file, const struct old_end *old,
			uint64_t end)
{
	int ret = 0;

	if (old->durable && old->len && old->len < PAGE_BYTES) {
		ret = cut_at(file, end);
		if (!ret)
			ret = pages_sync(w, file);
	}
	return ret;
}

int size_grow(struct worker *w, struct file *file, const struct size_pages *behind,
	      const struct size_pages *upto)
{
	uint64_t end = end_of(behind->len ? behind : upto);
	struct old_end old;
	bool touched = false;
	int ret = finish_cut(file);

	if (!ret)
		ret = remember_end(file, &old);
	if (ret)
		return ret;
	ret = order_growth(w, file, &old, end);
	if (!ret)
		ret = write_pages(file, behind);
	if (!ret) {
		touched = true;
		ret = write_pages(file, upto);
	}
	if (ret) {
		give_back(w, file, &old, touched);
		return ret;
	}
	pages_set_backing_size(file, end);
	file->end_right = true;
	return 0;
}

int size_seal_inner(struct worker *w, struct file *file, uint64_t index, uint8_t *inner,
		    struct size_pages *upto)
{
	uint64_t pages = layout_pages(file_size(file));
	uint64_t last = pages ? pages - 1 : 0;
	int ret = 0;

	if (index > last + 1)
		ret = pages_make_sparse(w, file);
	if (!ret)
		ret = pages_reseal(w, file, last, page_capacity(last), false);
	if (ret)
		return ret;
	memcpy(inner, w->slot->sealed, PAGE_BYTES);
	*upto = (struct size_pages){.sealed = inner, .len = PAGE_BYTES, .first = last};
	return 0;
}

static int extend(struct worker *w, struct file *file, uint64_t size)
{
	uint64_t last = layout_page(size - 1);
	uint32_t len = layout_content(last, size);
	struct size_pages behind = {0}, upto = {0}, sealed;
	uint8_t inner[PAGE_BYTES];
	int ret = 0;

	if (!file->backing_size)
		ret = pages_new_id(file);
	if (!ret && !pages_on_disk(file, last) && last)
		ret = size_seal_inner(w, file, last, inner, &upto);
	if (!ret)
		ret = pages_reseal(w, file, last, len, true);
	if (ret)
		return ret;
	sealed = (struct size_pages){.sealed = w->slot->sealed,
				     .len = page_overhead(last) + len,
				     .first = last};
	if (pages_on_disk(file, last))
		upto = sealed;
	else
		behind = sealed;
	return size_grow(w, file, &behind, &upto);
}

/*
 * The shorter page first, then the cut: a crash in between leaves a page that says it is
 * the last, and how long it is, before the end, as one while growing does. The cut must
 * not become durable before that page, or it would go through the longer one, or leave
 * the hole that was there at the end.
 */
static int shrink(struct worker *w, struct file *file, uint64_t size)
{
	uint64_t last = layout_page(size - 1);
	uint32_t content = layout_content(last, size),
		 len = page_overhead(last) + content;
	uint32_t old_len = pages_on_disk(file, last);
	bool order = last < file->durable_pages;
	int ret = finish_cut(file);

	if (!ret)
		ret = pages_reseal(w, file, last, content, true);
	if (!ret)
		ret = pages_replace(w, file, last, len);
	if (ret)
		return ret;
	if (order)
		ret = pages_sync(w, file);
	if (!ret)
		ret = set_backing_length(file, layout_backing_size(size));
	if (!ret)
		return 0;
	memcpy(w->slot->sealed, w->slot->old, old_len);
	if (pages_replace(w, file, last, old_len) || (order && pages_sync(w, file)))
		leave_for_settling(w, file, ret);
	return ret;
}

static int empty(struct file *file)
{
	int ret = set_backing_length(file, 0);

	if (ret)
		return ret;
	file->bad = file->has_id = file->cut_due = false;
	file->end_right = true;
	file->durable_pages = 0;
	return 0;
}

int size_set(struct worker *w, struct file *file, uint64_t size)
{
	uint64_t now = file_size(file);
	int ret;

	if (size > (uint64_t)LAYOUT_MAX_SIZE)
		return -EFBIG;
	if (size == 0)
		return empty(file);
	ret = pages_load_id(w, file);
	if (!ret)
		ret = pages_end_right(w, file);
	if (ret)
		return ret;
	/* the same size: still a truncate to the backing store, which moves the times */
	if (size == now)
		return set_backing_length(file, file->backing_size);
	if (size > now)
		return extend(w, file, size);
	ret = shrink(w, file, size);
	if (!ret && file->durable_pages > layout_pages(size))
		file->durable_pages = layout_pages(size);
	return ret;
}
