/* SPDX-License-Identifier: Apache-2.0 */
/* The volume header between struct header and JSON text (fs/FORMAT.md). */
#ifndef FS_VOLUME_HEADER_JSON_H
#define FS_VOLUME_HEADER_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "fs/volume/header.h"

/*
 * Parses one copy. 0, -EUCLEAN (not a header), -ENOTSUP (a later format, or an unknown
 * incompatible feature) or -ENOMEM. On error @header needs no header_fini() and @why gets
 * half a sentence.
 */
int header_decode(const char *text, size_t len, struct header *header, char *why,
		  size_t why_len);

/* Brings @header->json up to date with the other fields. 0 or -ENOMEM. */
int header_encode(struct header *header);

/* SHA-256 of what is authenticated: @header->json, compact, keys sorted. 0 or -ENOMEM. */
int header_digest(const struct header *header, uint8_t digest[WIRE_MAC_BYTES]);

/* The file's text: @header->json and @header->mac; the caller frees it. NULL: no memory.
 */
char *header_text(const struct header *header);

#endif
