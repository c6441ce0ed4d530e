/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE adapters for open files (opening them: fs/fuse_open.h). */
#ifndef FS_FUSE_DATA_H
#define FS_FUSE_DATA_H

struct fs;
struct fuse_lowlevel_ops;

/*
 * Fills in read, write, release, fsync, and flush if the store of @fs,
 * whose backing directory is open, has something to say then.
 */
void fuse_data_ops(struct fuse_lowlevel_ops *ops, const struct fs *fs);

#endif
