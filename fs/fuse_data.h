/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE adapters for open files. */
#ifndef FS_FUSE_DATA_H
#define FS_FUSE_DATA_H

struct fuse_lowlevel_ops;

/* Fills in create, open, read, write, flush, release, fsync. */
void fuse_data_ops(struct fuse_lowlevel_ops *ops);

#endif
