/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of inodes; knows nothing of FUSE. 0 or -errno as the system calls. */
#ifndef FS_ATTR_H
#define FS_ATTR_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct worker;
struct inode;

/* What to change, and to what. */
enum attr_change {
	ATTR_MODE = 1 << 0,
	ATTR_UID = 1 << 1,
	ATTR_GID = 1 << 2,
	ATTR_SIZE = 1 << 3,
	ATTR_ATIME = 1 << 4, /* st_atim, whose tv_nsec may be UTIME_NOW */
	ATTR_MTIME = 1 << 5, /* st_mtim, likewise */
	ATTR_CTIME = 1 << 6, /* asked for by the writeback cache; follows by itself */
};

int attr_get(struct worker *w, struct inode *inode, struct stat *out);

/*
 * Applies @changes of @want in the order size, owner, mode (which an ACL follows), times;
 * then as attr_get().
 */
int attr_set(struct worker *w, struct inode *inode, unsigned changes,
	     const struct stat *want, struct stat *out);

/* Changes the permission and set-id bits of the backing inode, and no ACL. */
int attr_chmod(struct worker *w, struct inode *inode, mode_t mode);

/*
 * What changing content without CAP_FSETID does: takes the set-user-id bit, and the
 * set-group-id bit of what its group may execute. 0 or -errno.
 */
int attr_drop_set_id(struct worker *w, struct inode *inode);

/* The same, where writing to the backing file will not do it. */
int attr_written(struct worker *w, struct inode *inode);

/* access(2) of the backing inode. */
int attr_access(struct worker *w, struct inode *inode, int mask);

/* Counts in plain terms: f_namemax 255, f_bsize 4096. */
int attr_statfs(struct worker *w, struct inode *inode, struct statvfs *out);

#endif
