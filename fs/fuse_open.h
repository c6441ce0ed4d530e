/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE adapters for opening and creating files. */
#ifndef FS_FUSE_OPEN_H
#define FS_FUSE_OPEN_H

struct fuse_lowlevel_ops;

/* Fills in create and open. */
void fuse_open_ops(struct fuse_lowlevel_ops *ops);

#endif
