/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: those in "user.", sealed (fs/FORMAT.md). Others are -EOPNOTSUPP,
 * as on a file system that does not have them.
 */
#ifndef FS_XATTR_H
#define FS_XATTR_H

#include <stddef.h>

#include "hsm/api/ring.h"

struct inode;
struct worker;

enum { XATTR_VALUE_MAX = RING_STRING_MAX }; /* a longer value is -E2BIG */

/*
 * The value's length; up to XATTR_VALUE_MAX bytes of it are at @value, or nothing when
 * that is NULL (no key is needed then). -ENODATA, -EIO (it does not verify)...
 */
int xattr_get(struct worker *w, struct inode *inode, const char *name, void *value);

/*
 * @flags as of setxattr(2). 0, -ERANGE (a name of more than 167 bytes behind "user."),
 * -ENOSPC...
 */
int xattr_set(struct worker *w, struct inode *inode, const char *name, const void *value,
	      size_t len, int flags);
int xattr_remove(struct worker *w, struct inode *inode, const char *name);

/* All names, each with its NUL, malloc'ed. The length in bytes or -errno. */
int xattr_list(struct worker *w, struct inode *inode, char **list);

#endif
