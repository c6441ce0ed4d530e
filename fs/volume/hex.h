/* SPDX-License-Identifier: Apache-2.0 */
/* Lower-case hexadecimal. */
#ifndef FS_VOLUME_HEX_H
#define FS_VOLUME_HEX_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Writes 2 * @len digits and a NUL. */
static inline void hex_encode(const uint8_t *in, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * len] = '\0';
}

static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* @text must be exactly 2 * @len lower-case digits. 0 or -EINVAL. */
static inline int hex_decode(const char *text, uint8_t *out, size_t len)
{
	if (strlen(text) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

#endif
