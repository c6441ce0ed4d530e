/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount points, without ever touching what is mounted there: a file system whose daemon
 * has died or hangs would take the caller with it.
 */
#ifndef MKFS_MOUNTS_H
#define MKFS_MOUNTS_H

#include <limits.h>
#include <stdbool.h>

/* The topmost mount on a path. */
struct mount_entry {
	bool is_hsmfs;
	unsigned connection; /* FUSE's number of it, if it has one */
	char source[PATH_MAX];
};

/* Shows @visit every mount, the lower ones on a path first. 0 or -errno. */
int mounts_visit(void (*visit)(const char *path, const struct mount_entry *entry,
			       void *arg),
		 void *arg);

/* 1 when something is mounted on the absolute @path, 0 when not, -errno. */
int mounts_find(const char *path, struct mount_entry *entry);

/*
 * Absolute form of @path without symlinks, as the kernel lists it if it is a mount point.
 * 0 or -errno.
 */
int mounts_resolve(const char *path, char out[PATH_MAX]);

/* Whether absolute @inner is @outer or lies below it. */
bool mounts_contains(const char *outer, const char *inner);

#endif
