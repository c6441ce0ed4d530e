/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/volume/name.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#define LONG_PREFIX ".long."
#define SIDE_PREFIX ".name."

enum {
	PREFIX_LEN = 6, /* of both */
	HASH_BYTES = 32,
	HASH_TEXT = 43,
	SEALED_MIN = 17, /* one byte of name and the SIV tag */
	SHORT_TEXT_MIN = 23,
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			       "0123456789-_";

static bool is_text(const char *text)
{
	return text[strspn(text, alphabet)] == '\0';
}

/* @len <= 3 bytes as a group of @len + 1 characters. */
static size_t encode_group(const uint8_t *in, size_t len, char out[4])
{
	unsigned char padded[5];

	EVP_EncodeBlock(padded, in, (int)len);
	for (size_t i = 0; i <= len; i++)
		out[i] = padded[i] == '+'   ? '-'
			 : padded[i] == '/' ? '_'
					    : (char)padded[i];
	return len + 1;
}

void name_base64_encode(const uint8_t *in, size_t len, char *out)
{
	while (len) {
		size_t take = len < 3 ? len : 3;

		out += encode_group(in, take, out);
		in += take;
		len -= take;
	}
	*out = '\0';
}

/* Decodes a group of 2..4 characters. Returns its bytes, or -EINVAL. */
static int decode_group(const char *in, size_t chars, uint8_t out[3])
{
	unsigned char padded[4] = "====";
	char again[4];

	for (size_t i = 0; i < chars; i++)
		padded[i] = in[i] == '-'   ? '+'
			    : in[i] == '_' ? '/'
					   : (unsigned char)in[i];
	if (EVP_DecodeBlock(out, padded, 4) != 3)
		return -EINVAL;
	/* Only one text may stand for these bytes: the unused bits of the last character.
	 */
	encode_group(out, chars - 1, again);
	return memcmp(in, again, chars) ? -EINVAL : (int)chars - 1;
}

int name_base64_decode(const char *in, uint8_t *out, size_t out_len)
{
	size_t left = strlen(in), done = 0;

	if (!is_text(in) || left % 4 == 1)
		return -EINVAL;
	while (left) {
		size_t chars = left < 4 ? left : 4;
		uint8_t group[3];
		int bytes = decode_group(in, chars, group);

		if (bytes < 0 || out_len - done < (size_t)bytes)
			return -EINVAL;
		memcpy(out + done, group, (size_t)bytes);
		done += (size_t)bytes;
		in += chars;
		left -= chars;
	}
	return (int)done;
}

static bool is_hashed(const char *entry, const char *prefix)
{
	return !strncmp(entry, prefix, PREFIX_LEN) &&
	       strlen(entry) == PREFIX_LEN + HASH_TEXT && is_text(entry + PREFIX_LEN);
}

bool name_is_side(const char *entry)
{
	return is_hashed(entry, SIDE_PREFIX);
}

enum name_kind name_classify(const char *entry)
{
	size_t len;

	if (!strcmp(entry, NAME_DIR_ID) || !strcmp(entry, NAME_VOLUME) ||
	    name_is_side(entry))
		return NAME_OURS;
	if (is_hashed(entry, LONG_PREFIX))
		return NAME_LONG;
	len = strlen(entry);
	if (len < SHORT_TEXT_MIN || len > NAME_PLAIN_MAX || len % 4 == 1 ||
	    !is_text(entry))
		return NAME_ALIEN;
	return NAME_SHORT;
}

/* Base64url SHA-256 of a sealed name. 0 or -EINVAL (no memory for the digest). */
static int hash_text(const uint8_t *sealed, size_t len, char text[HASH_TEXT + 1])
{
	uint8_t hash[HASH_BYTES];

	if (EVP_Digest(sealed, len, hash, NULL, EVP_sha256(), NULL) != 1)
		return -EINVAL;
	name_base64_encode(hash, sizeof(hash), text);
	return 0;
}

int name_encode(const uint8_t *sealed, size_t len, struct name_backing *out)
{
	char text[NAME_TEXT_MAX + 1], hash[HASH_TEXT + 1];

	if (len < SEALED_MIN || len > NAME_SEALED_MAX)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	name_base64_encode(sealed, len, text);
	if (strlen(text) <= NAME_PLAIN_MAX) {
		memcpy(out->entry, text, strlen(text));
		return 0;
	}
	if (hash_text(sealed, len, hash))
		return -EINVAL;
	memcpy(out->entry, LONG_PREFIX, PREFIX_LEN);
	memcpy(out->entry + PREFIX_LEN, hash, HASH_TEXT);
	memcpy(out->side, SIDE_PREFIX, PREFIX_LEN);
	memcpy(out->side + PREFIX_LEN, hash, HASH_TEXT);
	memcpy(out->full, text, strlen(text));
	return 0;
}

int name_side(const char *entry, char side[64])
{
	if (!is_hashed(entry, LONG_PREFIX))
		return -EINVAL;
	memcpy(side, SIDE_PREFIX, PREFIX_LEN);
	memcpy(side + PREFIX_LEN, entry + PREFIX_LEN, HASH_TEXT + 1);
	return 0;
}

static int decode_long(const char *entry, const char *full,
		       uint8_t sealed[NAME_SEALED_MAX])
{
	char hash[HASH_TEXT + 1];
	int len;

	/* A text that fits into an entry is not a long name's: one form for each name. */
	if (!full || strlen(full) <= NAME_PLAIN_MAX)
		return -EINVAL;
	len = name_base64_decode(full, sealed, NAME_SEALED_MAX);
	if (len < 0)
		return len;
	if (hash_text(sealed, (size_t)len, hash) || strcmp(hash, entry + PREFIX_LEN))
		return -EINVAL;
	return len;
}

int name_decode(const char *entry, const char *full, uint8_t sealed[NAME_SEALED_MAX])
{
	switch (name_classify(entry)) {
	case NAME_SHORT:
		return name_base64_decode(entry, sealed, NAME_SEALED_MAX);
	case NAME_LONG:
		return decode_long(entry, full, sealed);
	default:
		return -EINVAL;
	}
}
