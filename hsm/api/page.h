/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed page: the unit of encryption and of persistence (fs/FORMAT.md).
 *
 *   page     = seal(32) | ciphertext(<= 4064)
 *   page 0   = seal(32) | file header(32) | ciphertext(<= 4032)
 *   last page: cut to its content
 *
 * The HSM writes seals; the file system only moves pages and does arithmetic.
 * All integers on disk are little-endian.
 */
#ifndef HSM_API_PAGE_H
#define HSM_API_PAGE_H

#include <stdint.h>

enum {
	PAGE_BYTES = 4096,	 /* on disk */
	PAGE_SEAL_BYTES = 32,	 /* struct page_seal */
	PAGE_HEADER_BYTES = 32,	 /* struct page_header, page 0 only */
	PAGE_DATA_BYTES = 4064,	 /* plaintext of a full page */
	PAGE_DATA0_BYTES = 4032, /* plaintext of a full page 0 */
	PAGE_ID_BYTES = 16,	 /* file id, directory id */
	PAGE_NONCE_BYTES = 12,
	PAGE_TAG_BYTES = 16,
	PAGE_FORMAT_VERSION = 1,
};

/* page_seal.flags */
enum {
	PAGE_FINAL = 1 << 0, /* this page is the file's last */
};

/* page_header.flags */
enum {
	FILE_SPARSE = 1 << 0, /* an all-zero page of this file is a hole */
};

/* Authenticated as associated data (all but nonce and tag). */
struct page_seal {
	uint16_t length; /* bytes of content (plaintext) in this page */
	uint8_t flags;	 /* PAGE_* */
	uint8_t version; /* PAGE_FORMAT_VERSION */
	uint8_t nonce[PAGE_NONCE_BYTES];
	uint8_t tag[PAGE_TAG_BYTES];
};

/* In clear, authenticated as part of page 0's associated data. */
struct page_header {
	uint8_t file_id[PAGE_ID_BYTES];
	uint32_t flags; /* FILE_* */
	uint32_t format;
	uint8_t reserved[8]; /* zero */
};

/* Associated data of one page; page 0 appends its struct page_header. */
struct page_aad {
	uint8_t file_id[PAGE_ID_BYTES];
	uint64_t index;
	uint16_t length;
	uint8_t flags;
	uint8_t version;
} __attribute__((packed));

_Static_assert(sizeof(struct page_seal) == PAGE_SEAL_BYTES, "seal on disk");
_Static_assert(sizeof(struct page_header) == PAGE_HEADER_BYTES, "header on disk");
_Static_assert(sizeof(struct page_aad) == 28, "associated data");

/* Content bytes that a full page number @index holds. */
static inline uint32_t page_capacity(uint64_t index)
{
	return index == 0 ? PAGE_DATA0_BYTES : PAGE_DATA_BYTES;
}

/* Bytes before the ciphertext in page number @index. */
static inline uint32_t page_overhead(uint64_t index)
{
	return PAGE_BYTES - page_capacity(index);
}

#endif
