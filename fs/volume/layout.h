/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offset arithmetic of a backing file (fs/FORMAT.md). Pure functions; "plain" is what
 * applications see, "backing" what is on disk.
 */
#ifndef FS_VOLUME_LAYOUT_H
#define FS_VOLUME_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "hsm/api/page.h"
#include "hsm/api/ring.h"

/* Largest plain size: an extent that begins with its last page has numbers in the HSM. */
#define LAYOUT_MAX_SIZE                                                                  \
	((INT64_MAX / PAGE_BYTES - RING_MAX_PAGES) * (int64_t)PAGE_DATA_BYTES)

/* The page that holds plain byte @off. */
static inline uint64_t layout_page(uint64_t off)
{
	return (off + PAGE_HEADER_BYTES) / PAGE_DATA_BYTES;
}

/* Where page @index begins in the plain file. */
static inline uint64_t layout_page_start(uint64_t index)
{
	return index ? index * PAGE_DATA_BYTES - PAGE_HEADER_BYTES : 0;
}

/* Pages of a file with @size plain bytes (0 for an empty one). */
static inline uint64_t layout_pages(uint64_t size)
{
	return size ? layout_page(size - 1) + 1 : 0;
}

/* Content bytes of page @index in a file with @size plain bytes that has this page. */
static inline uint32_t layout_content(uint64_t index, uint64_t size)
{
	uint64_t left = size - layout_page_start(index);

	return left < page_capacity(index) ? (uint32_t)left : page_capacity(index);
}

/* Backing size of a file with @size plain bytes. */
static inline uint64_t layout_backing_size(uint64_t size)
{
	uint64_t last;

	if (!size)
		return 0;
	last = layout_page(size - 1);
	return last * PAGE_BYTES + page_overhead(last) + layout_content(last, size);
}

/*
 * Plain size of a backing file with @backing bytes. A length no seal can have (a last
 * page without content) counts as if that page were not there; reading finds it damaged.
 */
static inline uint64_t layout_plain_size(uint64_t backing)
{
	uint64_t last = backing / PAGE_BYTES;
	uint64_t rest = backing % PAGE_BYTES;

	if (rest <= page_overhead(last))
		return layout_page_start(last);
	return layout_page_start(last) + rest - page_overhead(last);
}

#endif
