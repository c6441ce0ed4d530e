/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed names as backing names (fs/FORMAT.md). Pure functions.
 *
 * A sealed name (16 + n bytes) is written in base64url without padding. When that is over
 * 255 bytes the backing name is ".long." and the base64url SHA-256 of the sealed name,
 * and a side entry, the symlink ".name." and the same hash, has the whole text as its
 * target. Backing names of ours that stand for no file begin with a dot, which base64url
 * has not.
 */
#ifndef FS_VOLUME_NAME_H
#define FS_VOLUME_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NAME_PLAIN_MAX = 255,
	NAME_SEALED_MAX = NAME_PLAIN_MAX + 16,
	NAME_TEXT_MAX = (NAME_SEALED_MAX * 4 + 2) / 3,

	/* A sealed blob (symlink target, directory id) is so much longer than its
	   content. */
	NAME_BLOB_OVERHEAD = 32,
	/* The longest plain symlink target: as text it must leave room in PATH_MAX. */
	NAME_TARGET_MAX = 4095 * 3 / 4 - NAME_BLOB_OVERHEAD, /* 3,039 */
};

#define NAME_DIR_ID ".hsmfs.id" /* symlink: the directory's sealed id */
#define NAME_VOLUME ".hsmfs"	/* in the root: the volume's own directory */

struct name_backing {
	char entry[NAME_PLAIN_MAX + 1]; /* the directory entry */
	char side[64];			/* side entry's name, or "" */
	char full[NAME_TEXT_MAX + 1];	/* side entry's target, or "" */
};

/* How a directory entry is to be read. */
enum name_kind {
	NAME_SHORT, /* base64url of a sealed name */
	NAME_LONG,  /* its side entry has the text */
	NAME_OURS,  /* side entry, directory id, volume directory: not a file */
	NAME_ALIEN, /* nothing of ours */
};

enum name_kind name_classify(const char *entry);

/* @sealed (17..271 bytes) as backing names. 0 or -EINVAL. */
int name_encode(const uint8_t *sealed, size_t len, struct name_backing *out);

/* The side entry's name that belongs to a NAME_LONG @entry. 0 or -EINVAL. */
int name_side(const char *entry, char side[64]);

/*
 * The sealed name of a text (the entry itself, or the side entry's target). For a
 * NAME_LONG @entry the text must hash to it. Returns the length, -EINVAL (not canonical
 * base64url, too short or long, wrong hash).
 */
int name_decode(const char *entry, const char *full, uint8_t sealed[NAME_SEALED_MAX]);

/* Whether @entry has the form of a side entry's name. */
bool name_is_side(const char *entry);

/* Plain length of a sealed blob whose text has @text_len bytes (0 if none can have it).
 */
static inline size_t name_blob_plain_len(size_t text_len)
{
	size_t sealed = text_len / 4 * 3 + text_len % 4 * 3 / 4;

	return sealed > NAME_BLOB_OVERHEAD ? sealed - NAME_BLOB_OVERHEAD : 0;
}

/* Canonical base64url without padding and a NUL; @out holds 4*len/3+2 bytes. */
void name_base64_encode(const uint8_t *in, size_t len, char *out);

/* Refuses anything but what name_base64_encode() writes. Length or -EINVAL. */
int name_base64_decode(const char *in, uint8_t *out, size_t out_len);

#endif
