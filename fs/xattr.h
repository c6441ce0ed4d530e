/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: those in "user.", and with -o acl those of POSIX ACLs, sealed
 * (fs/FORMAT.md). Others are -EOPNOTSUPP, as on a file system that does not have them.
 * Whether the caller may is the kernel's decision: files of ours that not even we may
 * read or write are opened up for the moment.
 */
#ifndef FS_XATTR_H
#define FS_XATTR_H

#include <linux/limits.h> /* XATTR_NAME_MAX */
#include <stddef.h>
#include <stdint.h>

#include "fs/volume/name.h"
#include "hsm/api/ring.h"

struct inode;
struct worker;

#define XATTR_ACL_ACCESS  "system.posix_acl_access"
#define XATTR_ACL_DEFAULT "system.posix_acl_default"

enum { XATTR_VALUE_MAX = RING_STRING_MAX }; /* a longer value is -E2BIG */

/* An attribute as the backing inode has it. */
struct xattr_sealed {
	char name[XATTR_NAME_MAX + 1];
	size_t len;
	uint8_t value[XATTR_VALUE_MAX + NAME_BLOB_OVERHEAD];
};

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

/* Seals an attribute, for whatever inode; the HSM may be waited for. */
int xattr_seal(struct worker *w, const char *name, const void *value, size_t len,
	       struct xattr_sealed *out);

/* Gives it to the backing inode at @path, which may be a link in /proc. */
int xattr_put(const char *path, const struct xattr_sealed *sealed);

/* All names, each with its NUL, malloc'ed. The length in bytes or -errno. */
int xattr_list(struct worker *w, struct inode *inode, char **list);

#endif
