/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MKFS_OPEN_H
#define MKFS_OPEN_H

#include <stdbool.h>

struct options;

/*
 * Checks @dir and @mountpoint, asks for the passphrase, unlocks and mounts. @dry_run ends
 * after the checks. 0 or an exit code, having said why.
 */
int open_run(const char *dir, const char *mountpoint, const struct options *options,
	     bool dry_run);

#endif
