/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing a small file atomically, on a full store too. */
#ifndef FS_VOLUME_REPLACE_H
#define FS_VOLUME_REPLACE_H

#include <stddef.h>

/*
 * Gives @name in directory @dirfd the @len bytes of @text. When it returns 0 the file has
 * them after any crash, else what it had; but on a store that is too full for that it is
 * written in place, so a crash meanwhile may cost it: keep two. The new text goes to the
 * file "spare" in that directory, which then changes names with the old one: that one's
 * room is kept for the next time, and its bytes are overwritten. One caller at a time. 0
 * or -errno.
 */
int replace_file(int dirfd, const char *name, const char *text, size_t len);

#endif
