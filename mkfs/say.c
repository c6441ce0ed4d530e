/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONTROL_END = 0x20, DELETE = 0x7f, C1_LEAD = 0xc2, C1_END = 0xa0 };

void say_clean(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (*at < CONTROL_END || *at == DELETE)
			*at = '?';
		else if (*at == C1_LEAD && at[1] >= 0x80 && at[1] < C1_END)
			at[0] = at[1] = '?';
	}
}

int say_error(int code, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		say_clean(text);
	fprintf(stderr, "%s\n", text ? text : "Out of memory.");
	free(text);
	return code;
}

int say_code(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case -EPERM:
	case -EACCES:
	case -EKEYREJECTED:
	case -EAGAIN:
		return EXIT_DENIED;
	case -ENOMEM:
		return EXIT_MEMORY;
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -ENAMETOOLONG:
		return EXIT_PATH;
	case -EEXIST:
	case -EBUSY:
		return EXIT_BUSY;
	default:
		return EXIT_INVALID;
	}
}

int say_hsm_error(const char *what, int rc)
{
	if (rc == -ENOSPC || rc == -EDQUOT || rc == -EROFS)
		return say_error(say_code(rc),
				 "The HSM cannot %s, since it cannot write its TPM's "
				 "state: %s; make room for its state directory.",
				 what, strerror(-rc));
	return say_error(say_code(rc), "The HSM cannot %s: %s.", what, strerror(-rc));
}

int say_plain(const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}
