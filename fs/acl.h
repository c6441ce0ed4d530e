/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX ACLs of a mount with -o acl: kept as sealed attributes (fs/FORMAT.md), with the
 * mode of the backing inode in step with them. The kernel checks permissions by them. All
 * return 0 or -errno.
 */
#ifndef FS_ACL_H
#define FS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/xattr.h"

struct fs;
struct inode;
struct worker;

/* Whether @name is one of the two attributes that this is about, on this mount. */
bool acl_is_name(const struct fs *fs, const char *name);

/*
 * As xattr_get(); a store that keeps no attributes has no ACLs, which is no error: the
 * kernel would take it for one whenever it checks a permission.
 */
int acl_get(struct worker *w, struct inode *inode, const char *name, void *value);

/* As setxattr(2) of @name; with @kill_setgid takes the set-group-id bit. */
int acl_set(struct worker *w, struct inode *inode, const char *name, const void *value,
	    size_t len, bool kill_setgid);

/* Brings the ACL of @inode, if it has one, in step with its new @mode. */
int acl_follow_mode(struct worker *w, struct inode *inode, mode_t mode);

/* What something new gets from the directory that it is made in, sealed. */
struct acl_heritage {
	mode_t mode; /* that it ends up with */
	unsigned nr;
	struct xattr_sealed sealed[2];
};

/*
 * What something made in @dir as @mode (with its type) by somebody with @umask gets. Must
 * be called without locks. Where ACLs are off, @mode has seen the umask already.
 */
int acl_prepare(struct worker *w, struct inode *dir, mode_t mode, mode_t umask,
		struct acl_heritage *out);

/* The mode to make it with: nobody but its owner gets at it before its ACL is there. */
mode_t acl_first_mode(const struct acl_heritage *heritage);

/* Gives it to the new (@dirfd, @entry), or with @entry NULL to the open file @dirfd. */
int acl_give(int dirfd, const char *entry, const struct acl_heritage *heritage);

#endif
