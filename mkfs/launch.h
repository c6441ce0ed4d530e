/* SPDX-License-Identifier: Apache-2.0 */
/* Running other programs: those that do the mounting, and hsmd where it measures. */
#ifndef MKFS_LAUNCH_H
#define MKFS_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hsm/api/wire.h"

/*
 * Starts hsmfs (beside this program, else in PATH) and waits until it has mounted.
 * @mount_options may be NULL. 0 or hsmfs's exit code, the reason having been said.
 */
int launch_hsmfs(const char *dir, const char *mountpoint, const char *mount_options,
		 int read_only, const uint8_t ticket[WIRE_TICKET_BYTES]);

/*
 * What hsmd --benchmark (beside this program, else in PATH) prints, cut to @len - 1
 * bytes. 0, or an exit code, the reason having been said.
 */
int launch_benchmark(char *text, size_t len);

/*
 * fusermount3 -u, @lazily with -z. 0, or -EBUSY or -EIO with what it said in @why.
 */
int launch_unmount(const char *mountpoint, bool lazily, char *why, size_t why_len);

#endif
