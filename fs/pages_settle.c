/* SPDX-License-Identifier: Apache-2.0 */
/* A file's end after an unclean close, fs/FORMAT.md, section 4. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/log.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

enum { SETTLE_PAGES = 65536, SETTLE_TAIL = 1024, TORN_BYTES = 4 };

/* Where a file should end. */
struct end {
	uint64_t last;
	uint32_t content; /* of page @last; 0: the file is empty */
	bool final;	  /* the page says so already */
};

/* Where data begins at page @index or behind it, else @pages. */
static int next_data(const struct file *file, uint64_t index, uint64_t pages,
		     uint64_t *found)
{
	off_t at = lseek(file->fd, (off_t)(index * PAGE_BYTES), SEEK_DATA);

	*found = at < 0 ? pages : (uint64_t)at / PAGE_BYTES;
	return at < 0 && errno != ENXIO ? -errno : 0;
}

/*
 * Walks over @nr pages that are not in holes, or to the end: @index is where the next one
 * may be, @nr how many were left to walk.
 */
static int skip_data(const struct file *file, uint64_t pages, uint64_t *nr,
		     uint64_t *index)
{
	off_t hole;
	uint64_t run;
	int ret;

	*index = 0;
	while (*nr && *index < pages) {
		ret = next_data(file, *index, pages, index);
		if (ret || *index >= pages)
			return ret;
		hole = lseek(file->fd, (off_t)(*index * PAGE_BYTES), SEEK_HOLE);
		if (hole < 0)
			return -errno;
		run = ((uint64_t)hole + PAGE_BYTES - 1) / PAGE_BYTES - *index;
		if (run > *nr)
			run = *nr;
		*nr -= run;
		*index += run;
	}
	return 0;
}

/* The first of the last @nr pages that are not in holes. */
static int first_to_look_at(const struct file *file, uint64_t pages, uint64_t nr,
			    uint64_t *first)
{
	uint64_t left = UINT64_MAX, skip;
	int ret;

	*first = 0;
	if (pages <= nr)
		return 0;
	ret = skip_data(file, pages, &left, first);
	skip = UINT64_MAX - left;
	if (ret || skip <= nr) {
		*first = 0;
		return ret;
	}
	skip -= nr;
	return skip_data(file, pages, &skip, first);
}

static bool is_zero(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	return !at[0] && !memcmp(at, at + 1, len - 1);
}

/* Page @index as it is on disk, or with the length that its seal states. 0, -EIO... */
static int try_page(struct worker *w, const struct file *file, uint64_t index,
		    struct end *end)
{
	uint32_t there = pages_on_disk(file, index) - page_overhead(index);
	struct page_seal seal;
	uint32_t flags = 0;
	int ret;

	ret = pages_read_backing(file->fd, w->slot->old, page_overhead(index) + there,
				 index * PAGE_BYTES);
	if (ret)
		return ret;
	memcpy(&seal, w->slot->old, sizeof(seal));
	if (!seal.length || seal.length > there)
		return -EIO;
	ret = pages_verify_old(w, file, index, page_overhead(index) + seal.length,
			       &flags);
	*end = (struct end){.last = index,
			    .content = seal.length,
			    .final = flags & RING_SAW_FINAL_LAST};
	return ret;
}

static int read_seal(const struct file *file, uint64_t index, struct page_seal *seal)
{
	return pages_read_backing(file->fd, seal, sizeof(*seal), index * PAGE_BYTES);
}

/*
 * Whether the end of page @index was cut off: its length was not on disk yet, so it was
 * not promised. If the file grew again there are zeros where its content should end: one
 * where it should end the file too, TORN_BYTES else, since fewer say nothing. 1, 0 or
 * -errno.
 */
static int is_torn(const struct file *file, uint64_t index, const struct page_seal *seal)
{
	uint32_t there = pages_on_disk(file, index);
	uint32_t end = page_overhead(index) + seal->length;
	uint32_t nr = end < there ? 1 : TORN_BYTES;
	uint8_t tail[TORN_BYTES];
	int ret;

	if (seal->version != PAGE_FORMAT_VERSION || seal->length > page_capacity(index))
		return 0;
	if (end > there)
		return 1;
	if (seal->length < nr)
		return 0;
	ret = pages_read_backing(file->fd, tail, nr, index * PAGE_BYTES + end - nr);
	return ret ? ret : is_zero(tail, nr);
}

/* Whether nothing was ever written to page @index. 1, 0 or -errno. */
static int is_missing(struct worker *w, const struct file *file, uint64_t index,
		      const struct page_seal *seal)
{
	uint32_t len = pages_on_disk(file, index);
	int ret;

	if (!is_zero(seal, sizeof(*seal)))
		return 0;
	ret = pages_read_backing(file->fd, w->slot->old, len, index * PAGE_BYTES);
	return ret ? ret : is_zero(w->slot->old, len);
}

/*
 * The first page from @from on, but before @last, that says it is the last and verifies
 * with the length it states; else @end->last is the last one before @last that is not a
 * hole (@last: none). 0, -ENOENT, -errno.
 */
static int find_old_end(struct worker *w, const struct file *file, uint64_t from,
			uint64_t last, struct end *end, uint64_t *before)
{
	struct page_seal seal;
	int ret;

	*before = last;
	for (uint64_t i = from; i < last; i++) {
		ret = read_seal(file, i, &seal);
		if (!ret)
			ret = is_missing(w, file, i, &seal);
		if (ret < 0)
			return ret;
		if (ret) {
			ret = next_data(file, i + 1, last, &i);
			if (ret)
				return ret;
			i--;
			continue;
		}
		*before = i;
		if (!(seal.flags & PAGE_FINAL))
			continue;
		ret = try_page(w, file, i, end);
		if (ret && ret != -EIO)
			return ret;
		if (!ret && end->final)
			return 0;
	}
	return -ENOENT;
}

/*
 * Page @last is missing or cut: what is before it, and not cut itself, is the file.
 * @before: the last one that may be.
 */
static int end_before(struct worker *w, const struct file *file, uint64_t first,
		      uint64_t before, uint64_t last, struct end *end)
{
	struct page_seal seal;
	int ret;

	while (before != last) {
		ret = try_page(w, file, before, end);
		if (!ret)
			return end->content == page_capacity(before) ? 0 : -EIO;
		if (ret == -EIO)
			ret = read_seal(file, before, &seal);
		if (!ret)
			ret = is_torn(file, before, &seal);
		if (ret <= 0)
			return ret ? ret : -EIO;
		last = before;
		ret = find_old_end(w, file, first, last, end, &before);
		if (ret != -ENOENT)
			return ret;
	}
	/* nothing is, at least nowhere near */
	*end = (struct end){.final = true};
	return first ? -EIO : 0;
}

static int find_end(struct worker *w, const struct file *file, uint64_t pages,
		    uint64_t nr, struct end *end)
{
	uint64_t last = pages - 1, before = last, first;
	struct page_seal seal;
	int ret = first_to_look_at(file, pages, nr, &first);

	if (!ret)
		ret = find_old_end(w, file, first, last, end, &before);
	if (ret != -ENOENT)
		return ret;
	ret = try_page(w, file, last, end);
	if (ret != -EIO)
		return ret;
	ret = read_seal(file, last, &seal);
	if (!ret)
		ret = is_missing(w, file, last, &seal);
	if (!ret)
		ret = is_torn(file, last, &seal);
	if (ret < 0)
		return ret;
	return ret ? end_before(w, file, first, before, last, end) : -EIO;
}

/*
 * Each step leaves a state that is settled the same way. What is cut off must be gone
 * before anything is written again: it verifies, and would come up behind that.
 */
static int make_end(struct worker *w, struct file *file, const struct end *end,
		    uint64_t size)
{
	uint64_t length = layout_backing_size(size);
	int ret = 0;

	if (file->backing_size != length) {
		ret = ftruncate(file->fd, (off_t)length) ? -errno : 0;
		if (!ret)
			ret = pages_sync(w, file);
	}
	if (ret)
		return ret;
	pages_set_backing_size(file, length);
	if (!end->final)
		ret = pages_reseal(w, file, end->last, end->content, true);
	if (!ret && !end->final)
		ret = pages_replace(w, file, end->last, pages_on_disk(file, end->last));
	return ret;
}

/* Looks at the last @nr pages. */
static int settle(struct worker *w, struct file *file, uint64_t nr)
{
	uint64_t pages, size;
	struct end end;
	int ret;

	ret = pages_load_id(w, file);
	pages = layout_pages(file_size(file));
	if (ret || !file->backing_size)
		return ret;
	if (!pages)
		return -EIO;
	ret = find_end(w, file, pages, nr, &end);
	if (ret)
		return ret;
	size = end.content ? layout_page_start(end.last) + end.content : 0;
	if (end.final && file->backing_size == layout_backing_size(size))
		return 0;
	ret = make_end(w, file, &end, size);
	if (!ret)
		log_warn("settled the end of a file at %llu bytes after an unclean close",
			 (unsigned long long)size);
	return ret;
}

int pages_settle(struct worker *w, struct file *file)
{
	return settle(w, file, SETTLE_PAGES);
}

int pages_settle_tail(struct worker *w, struct file *file)
{
	return settle(w, file, SETTLE_TAIL);
}
