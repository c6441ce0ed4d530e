/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int say_error(int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
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
