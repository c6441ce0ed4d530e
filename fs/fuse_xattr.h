/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE's requests about extended attributes. */
#ifndef FS_FUSE_XATTR_H
#define FS_FUSE_XATTR_H

struct fuse_lowlevel_ops;

void fuse_xattr_ops(struct fuse_lowlevel_ops *ops);

#endif
