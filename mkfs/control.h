/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the hsmfs that serves a mount point. */
#ifndef MKFS_CONTROL_H
#define MKFS_CONTROL_H

#include <limits.h>

struct json_t;

enum {
	CONTROL_QUICK_MS = 5000,
	CONTROL_SLOW_MS = 120000, /* suspending writes everything back first */
};

/* Absolute form of @mountpoint in @path. 0, -ENOENT (no hsmfs there) or -errno. */
int control_find(const char *mountpoint, char path[PATH_MAX]);

/* As control_find(), but returns 0 or an exit code, having said why. */
int control_require(const char *mountpoint, char path[PATH_MAX]);

/*
 * One request to the hsmfs at @path; takes @request over. 0 with *@reply (the caller's)
 * or an exit code, having said why.
 */
int control_call(const char *path, struct json_t *request, int timeout_ms,
		 struct json_t **reply);

/* Says that mountctl_call() to the hsmfs at @path failed with @rc. An exit code. */
int control_say(const char *path, int rc);

/* {"op": @op} */
struct json_t *control_request(const char *op);

#endif
