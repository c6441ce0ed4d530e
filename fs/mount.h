/* SPDX-License-Identifier: Apache-2.0 */
/* From a ticket and two paths to a served mount, and back to a clean volume. */
#ifndef FS_MOUNT_H
#define FS_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hsm/api/wire.h"

struct mount;

struct mount_config {
	const char *directory;	/* absolute */
	const char *mountpoint; /* absolute */
	const char *options;	/* FUSE mount options or NULL */
	bool read_only;
	uint8_t ticket[WIRE_TICKET_BYTES];
};

/*
 * Locks the volume, redeems the ticket, verifies and marks the header, mounts. On error
 * everything is undone and @why has one sentence: -EBUSY (mounted already), -EKEYREJECTED
 * (ticket), -ENOENT, -EUCLEAN, -ENOTSUP, -EBADMSG (the header), or another -errno.
 */
int mount_start(const struct mount_config *config, struct mount **out, char *why,
		size_t why_len);

/* Serves until unmounted, then closes the volume and frees. 0 or -errno of closing. */
int mount_serve(struct mount *mount);

#endif
