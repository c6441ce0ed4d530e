/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "hsm/api/page.h"
#include "hsm/api/ring.h"
#include "hsm/arena.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/random.h"
#include "hsm/keyring.h"
#include "hsm/pages.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "seals are copied to and from the disk as they are");

/* Page numbers beyond this cannot be in a file. */
#define MAX_PAGE (INT64_MAX / PAGE_BYTES)

/* The associated data of a page: its address and, on page 0, the file header. */
struct aad {
	struct page_aad page;
	struct page_header header;
} __attribute__((packed));

/* One page on disk, its two leading structures copied. */
struct sealed_page {
	const uint8_t *ciphertext;
	uint32_t content; /* bytes of ciphertext that are there */
	struct page_seal seal;
	struct page_header header; /* page 0 */
};

static size_t aad_fill(struct aad *aad, const uint8_t file_id[PAGE_ID_BYTES],
		       uint64_t index, const struct page_seal *seal,
		       const struct page_header *header)
{
	memcpy(aad->page.file_id, file_id, PAGE_ID_BYTES);
	aad->page.index = index;
	aad->page.length = seal->length;
	aad->page.flags = seal->flags;
	aad->page.version = seal->version;
	if (index)
		return sizeof(aad->page);
	aad->header = *header;
	return sizeof(*aad);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return bytes[0] == 0 && !memcmp(bytes, bytes + 1, len - 1);
}

/* Copies what precedes the ciphertext; false when @len cannot be a page's. */
static bool page_load(struct sealed_page *page, uint64_t index, const uint8_t *at,
		      uint32_t len)
{
	if (len <= page_overhead(index) || len > PAGE_BYTES)
		return false;
	memcpy(&page->seal, at, sizeof(page->seal));
	if (index == 0)
		memcpy(&page->header, at + PAGE_SEAL_BYTES, sizeof(page->header));
	page->ciphertext = at + page_overhead(index);
	page->content = len - page_overhead(index);
	return true;
}

/* Opens one page to @out. 0 or -EBADMSG with @out wiped. */
static int page_open(struct pages_context *ctx, void *key, const struct ring_sqe *sqe,
		     uint64_t index, const struct sealed_page *page, uint8_t *out)
{
	struct aad aad;
	size_t aad_len = aad_fill(&aad, sqe->file_id, index, &page->seal, &page->header);

	if (page->seal.length != page->content ||
	    page->seal.version != PAGE_FORMAT_VERSION)
		goto bad;
	if (index == 0 && (memcmp(page->header.file_id, sqe->file_id, PAGE_ID_BYTES) ||
			   page->header.format != PAGE_FORMAT_VERSION))
		goto bad;
	ctx->opened++;
	return ctx->engine->open(key, page->seal.nonce, &aad, aad_len, page->ciphertext,
				 page->content, out, page->seal.tag);
bad:
	memset(out, 0, page->content);
	return -EBADMSG;
}

/* Opens page number @i of an extent; advances @out over its content. */
static int open_one(struct pages_context *ctx, void *key, const struct ring_sqe *sqe,
		    uint32_t i, const uint8_t *at, uint8_t **out, struct ring_cqe *cqe)
{
	uint64_t index = sqe->first_page + i;
	bool last = i + 1u == sqe->count;
	uint32_t len = last ? sqe->src_len - i * PAGE_BYTES : PAGE_BYTES;
	struct sealed_page page;

	if (!page_load(&page, index, at, len))
		return -EBADMSG;
	if ((sqe->flags & RING_OPEN_HOLES) && index && len == PAGE_BYTES &&
	    is_zero(at, PAGE_BYTES)) {
		memset(*out, 0, page.content);
		cqe->flags |= RING_SAW_HOLE;
	} else if (page_open(ctx, key, sqe, index, &page, *out)) {
		return -EBADMSG;
	} else {
		if (page.seal.flags & PAGE_FINAL)
			cqe->flags |= last ? RING_SAW_FINAL_LAST : RING_SAW_FINAL_INNER;
		if (index == 0)
			cqe->header_flags = page.header.flags;
	}
	*out += page.content;
	return 0;
}

static bool extent_valid(const struct ring_sqe *sqe)
{
	return sqe->count && sqe->count <= RING_MAX_PAGES &&
	       sqe->first_page <= (uint64_t)MAX_PAGE - RING_MAX_PAGES;
}

/* Content bytes of an extent whose last page has @last_len of them. */
static uint32_t extent_content(const struct ring_sqe *sqe, uint32_t last_len)
{
	uint32_t full = (uint32_t)(sqe->count - 1) * PAGE_DATA_BYTES;

	if (sqe->first_page == 0 && sqe->count > 1)
		full -= PAGE_HEADER_BYTES;
	return full + last_len;
}

int pages_open(struct pages_context *ctx, const struct arena *arena,
	       const struct ring_sqe *sqe, struct ring_cqe *cqe)
{
	uint64_t last = sqe->first_page + sqe->count - 1u;
	const uint8_t *src = arena_range(arena, sqe->src, sqe->src_len);
	uint8_t *dst = arena_range(arena, sqe->dst, sqe->dst_len);
	uint32_t before = (uint32_t)(sqe->count - 1) * PAGE_BYTES;
	uint32_t content;
	uint8_t *out = dst;
	void *key;

	if (!extent_valid(sqe) || !src || !dst ||
	    sqe->src_len <= before + page_overhead(last) ||
	    sqe->src_len > before + PAGE_BYTES)
		return -EPROTO;
	content = extent_content(sqe, sqe->src_len - before - page_overhead(last));
	if (content > sqe->dst_len)
		return -EPROTO;
	key = keyring_file(ctx->keyring, sqe->file_id);
	if (!key) {
		cqe->status = -EIO;
		return 0;
	}
	for (uint32_t i = 0; i < sqe->count; i++) {
		if (!open_one(ctx, key, sqe, i, src + i * PAGE_BYTES, &out, cqe))
			continue;
		cqe->status = -EBADMSG;
		cqe->bad_page = i;
		memset(out, 0, content - (size_t)(out - dst));
		break;
	}
	cqe->len = (uint32_t)(out - dst);
	return 0;
}

/* Seals @len bytes of content as page @index, written whole to @out. 0 or -EIO. */
static int page_seal(struct pages_context *ctx, void *key, const struct ring_sqe *sqe,
		     uint64_t index, const uint8_t *content, uint32_t len, bool final,
		     uint8_t *out)
{
	struct page_seal seal = {.length = (uint16_t)len,
				 .flags = final ? PAGE_FINAL : 0,
				 .version = PAGE_FORMAT_VERSION};
	struct page_header header = {.flags = sqe->header_flags,
				     .format = PAGE_FORMAT_VERSION};
	struct aad aad;
	size_t aad_len;

	memcpy(header.file_id, sqe->file_id, PAGE_ID_BYTES);
	if (random_draw(ctx->random, seal.nonce, sizeof(seal.nonce)))
		return -EIO;
	aad_len = aad_fill(&aad, sqe->file_id, index, &seal, &header);
	if (ctx->engine->seal(key, seal.nonce, &aad, aad_len, content, len,
			      out + page_overhead(index), seal.tag))
		return -EIO;
	memcpy(out, &seal, sizeof(seal));
	if (index == 0)
		memcpy(out + PAGE_SEAL_BYTES, &header, sizeof(header));
	ctx->sealed++;
	return 0;
}

/* The old content of a page to scratch; bytes it has not are zero. */
static int load_old(struct pages_context *ctx, const struct arena *arena, void *key,
		    const struct ring_sqe *sqe, uint32_t i, struct ring_cqe *cqe)
{
	uint64_t index = sqe->first_page + i;
	uint32_t off = i == 0 ? sqe->old_first : sqe->old_last;
	uint32_t len = i == 0 ? sqe->old_first_len : sqe->old_last_len;
	const uint8_t *at = arena_range(arena, off, len);
	struct sealed_page page;

	memset(ctx->scratch, 0, PAGE_DATA_BYTES);
	if (!len)
		return 0;
	if (!page_load(&page, index, at, len))
		return -EBADMSG;
	if ((sqe->flags & RING_OPEN_HOLES) && index && len == PAGE_BYTES &&
	    is_zero(at, PAGE_BYTES)) {
		cqe->flags |= RING_SAW_HOLE;
		return 0;
	}
	if (page_open(ctx, key, sqe, index, &page, ctx->scratch))
		return -EBADMSG;
	if (page.seal.flags & PAGE_FINAL)
		cqe->flags |=
			i + 1u == sqe->count ? RING_SAW_FINAL_LAST : RING_SAW_FINAL_INNER;
	if (index == 0)
		cqe->header_flags = page.header.flags;
	return 0;
}

/* Where the data of a SEAL lies relative to one page's content. */
struct overlay {
	uint32_t at;  /* first byte of the page's content that data covers */
	uint32_t len; /* bytes covered, may be 0 */
	const uint8_t *data;
};

static struct overlay overlay_of(const struct ring_sqe *sqe, const uint8_t *src,
				 uint32_t page_start, uint32_t page_len)
{
	uint32_t begin = sqe->skip > page_start ? sqe->skip : page_start;
	uint32_t data_end = sqe->skip + sqe->src_len;
	uint32_t page_end = page_start + page_len;
	uint32_t end = data_end < page_end ? data_end : page_end;

	if (begin >= end)
		return (struct overlay){0, 0, src};
	return (struct overlay){begin - page_start, end - begin,
				src + (begin - sqe->skip)};
}

/* Seals page number @i, whose content begins @start bytes into the extent's. */
static int seal_one(struct pages_context *ctx, const struct arena *arena, void *key,
		    const struct ring_sqe *sqe, uint32_t i, uint32_t start, uint8_t *out,
		    struct ring_cqe *cqe)
{
	uint64_t index = sqe->first_page + i;
	bool last = i + 1u == sqe->count;
	uint32_t len = last ? sqe->last_len : page_capacity(index);
	struct overlay over =
		overlay_of(sqe, arena_range(arena, sqe->src, sqe->src_len), start, len);
	bool final = last && (sqe->flags & RING_SEAL_FINAL);
	int ret;

	if (over.len == len)
		return page_seal(ctx, key, sqe, index, over.data, len, final, out);
	if (i == 0 || last) {
		ret = load_old(ctx, arena, key, sqe, i, cqe);
		if (ret)
			return ret;
	} else {
		memset(ctx->scratch, 0, len);
	}
	memcpy(ctx->scratch + over.at, over.data, over.len);
	return page_seal(ctx, key, sqe, index, ctx->scratch, len, final, out);
}

static bool seal_valid(const struct arena *arena, const struct ring_sqe *sqe)
{
	uint64_t last = sqe->first_page + sqe->count - 1u;
	uint32_t on_disk;

	if (!extent_valid(sqe) || !sqe->last_len || sqe->last_len > page_capacity(last))
		return false;
	on_disk = (uint32_t)(sqe->count - 1) * PAGE_BYTES + page_overhead(last) +
		  sqe->last_len;
	return arena_range(arena, sqe->src, sqe->src_len) &&
	       arena_range(arena, sqe->dst, sqe->dst_len) && on_disk <= sqe->dst_len &&
	       (uint64_t)sqe->skip + sqe->src_len <= extent_content(sqe, sqe->last_len) &&
	       sqe->old_first_len <= PAGE_BYTES && sqe->old_last_len <= PAGE_BYTES &&
	       arena_range(arena, sqe->old_first, sqe->old_first_len) &&
	       arena_range(arena, sqe->old_last, sqe->old_last_len);
}

int pages_seal(struct pages_context *ctx, const struct arena *arena,
	       const struct ring_sqe *sqe, struct ring_cqe *cqe)
{
	uint32_t start = 0;
	uint8_t *dst;
	void *key;

	if (!seal_valid(arena, sqe))
		return -EPROTO;
	dst = arena_range(arena, sqe->dst, sqe->dst_len);
	key = keyring_file(ctx->keyring, sqe->file_id);
	if (!key)
		cqe->status = -EIO;
	for (uint32_t i = 0; i < sqe->count && !cqe->status; i++) {
		cqe->status = seal_one(ctx, arena, key, sqe, i, start,
				       dst + i * PAGE_BYTES, cqe);
		cqe->bad_page = i;
		start += page_capacity(sqe->first_page + i);
	}
	if (!cqe->status)
		cqe->len = (uint32_t)(sqe->count - 1) * PAGE_BYTES +
			   page_overhead(sqe->first_page + sqe->count - 1u) +
			   sqe->last_len;
	return 0;
}
