/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/recovery.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "hsm/api/secmem.h"

enum {
	ALL_BYTES = RECOVERY_BYTES + RECOVERY_CHECK_BYTES,
	NR_DIGITS = 2 * ALL_BYTES,
	GROUP = 8,
};

static const char modhex[] = "cbdefghijklnrtuv";

/* Appends the check to the key in @bytes. */
static int add_check(uint8_t bytes[ALL_BYTES])
{
	uint8_t *hash = secmem_alloc(EVP_MAX_MD_SIZE);
	int ok;

	if (!hash)
		return -ENOMEM;
	ok = EVP_Digest(bytes, RECOVERY_BYTES, hash, NULL, EVP_sha256(), NULL);
	memcpy(bytes + RECOVERY_BYTES, hash, RECOVERY_CHECK_BYTES);
	secmem_free(hash);
	return ok ? 0 : -ENOMEM;
}

static void format(const uint8_t bytes[ALL_BYTES], char *text)
{
	for (unsigned i = 0; i < NR_DIGITS; i++) {
		if (i && i % GROUP == 0)
			*text++ = '-';
		*text++ = modhex[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
	}
	*text = '\0';
}

int recovery_make(char text[RECOVERY_TEXT_LEN + 1])
{
	uint8_t *bytes = secmem_alloc(ALL_BYTES);
	int rc = -EIO;

	if (!bytes)
		return -ENOMEM;
	if (getrandom(bytes, RECOVERY_BYTES, 0) == RECOVERY_BYTES)
		rc = add_check(bytes);
	if (rc == 0)
		format(bytes, text);
	secmem_free(bytes);
	return rc;
}

/* The digits of @typed as bytes; how many digits there were, or -1: not modhex. */
static int scan(const char *typed, size_t len, uint8_t bytes[ALL_BYTES])
{
	int nr = 0;

	memset(bytes, 0, ALL_BYTES);
	for (size_t i = 0; i < len; i++) {
		const char *digit;

		if (typed[i] == '-' || isspace((unsigned char)typed[i]))
			continue;
		digit = memchr(modhex, tolower((unsigned char)typed[i]), 16);
		if (!digit || nr == NR_DIGITS)
			return -1;
		bytes[nr / 2] |= (uint8_t)((digit - modhex) << (nr % 2 ? 0 : 4));
		nr++;
	}
	return nr;
}

int recovery_parse(const void *typed, size_t len, char text[RECOVERY_TEXT_LEN + 1])
{
	uint8_t *bytes = secmem_alloc(ALL_BYTES);
	uint8_t check[RECOVERY_CHECK_BYTES];
	int rc = 0;

	if (!bytes)
		return -ENOMEM;
	if (scan(typed, len, bytes) == NR_DIGITS) {
		memcpy(check, bytes + RECOVERY_BYTES, sizeof(check));
		rc = add_check(bytes);
		if (rc == 0 && memcmp(check, bytes + RECOVERY_BYTES, sizeof(check)) != 0)
			rc = -EINVAL;
		if (rc == 0) {
			format(bytes, text);
			rc = 1;
		}
	}
	secmem_free(bytes);
	return rc;
}
