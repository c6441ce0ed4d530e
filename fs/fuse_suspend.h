/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FS_FUSE_SUSPEND_H
#define FS_FUSE_SUSPEND_H

struct fs;
struct fuse_session;

/*
 * Flushes what is dirty while the key lives, drops the page cache of every inode, wipes
 * the keys and forgets plain names. Must not be called by a worker: they serve the flush.
 * 0; -EALREADY (suspended); an error of the HSM.
 */
int suspend_volume(struct fs *fs, struct fuse_session *se);

#endif
