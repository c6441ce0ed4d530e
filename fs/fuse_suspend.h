/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaving no plaintext behind when the keys go: in the kernel's page cache, in the rings
 * and in the caches of names. One thread at a time, and never a worker: they serve what
 * the kernel flushes.
 */
#ifndef FS_FUSE_SUSPEND_H
#define FS_FUSE_SUSPEND_H

struct fs;
struct fuse_session;
struct loop;
struct suspender;

/* NULL when out of memory. */
struct suspender *suspend_create(struct fs *fs, struct fuse_session *se,
				 struct loop *loop);
void suspend_destroy(struct suspender *suspender);

/*
 * Flushes what is dirty while the key lives, drops the page cache of every inode, wipes
 * the keys, then drops what was read meanwhile. 0; -EALREADY (suspended); an error of the
 * HSM.
 */
int suspend_volume(struct suspender *suspender);

/*
 * The keys have gone by themselves: drops what can be dropped, in the background, since a
 * dirty page waits for the volume to be resumed.
 */
void suspend_lost(struct suspender *suspender);

#endif
