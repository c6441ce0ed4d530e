/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE's requests about a file's space. */
#ifndef FS_FUSE_SPACE_H
#define FS_FUSE_SPACE_H

struct fuse_lowlevel_ops;

void fuse_space_ops(struct fuse_lowlevel_ops *ops);

#endif
