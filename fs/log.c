/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>

static atomic_bool use_syslog; /* set while other threads run already */

void log_to_syslog(void)
{
	openlog("hsmfs", LOG_PID, LOG_DAEMON);
	use_syslog = true;
}

void log_warn(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (use_syslog)
		syslog(LOG_WARNING, "%s", text);
	else
		fprintf(stderr, "hsmfs: %s\n", text);
}
