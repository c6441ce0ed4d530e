/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which requests wait while the volume is suspended, and which of those end. All of them
 * may be called from every worker.
 */
#ifndef FS_FUSE_PARK_H
#define FS_FUSE_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct fs;
struct park;

/*
 * True when the request @message of @len bytes, read from @fuse_fd, was dealt with: it
 * waits in @park, or it interrupted one that did.
 */
bool fuse_park_request(struct park *park, const struct fs *fs, int fuse_fd,
		       const void *message, size_t len);

/* A request that need not wait any more, to @buf: its length, or -EAGAIN. */
ssize_t fuse_park_take(struct park *park, const struct fs *fs, void *buf);

/* Ends those of killed processes, which the kernel does not send FUSE_INTERRUPT for. */
void fuse_park_answer_dying(struct park *park, int fuse_fd);

#endif
