/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE requests on names, directories and attributes (files: fs/fuse_data.h). */
#ifndef FS_FUSE_META_H
#define FS_FUSE_META_H

struct fuse_lowlevel_ops;

/* Fills in the operations that are served here. */
void fuse_meta_ops(struct fuse_lowlevel_ops *ops);

/* Wipes the names that open directories hold; the link is down. Thread-safe. */
void fuse_meta_forget_names(void);

#endif
