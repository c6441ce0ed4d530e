/* SPDX-License-Identifier: Apache-2.0 */
/* What the FUSE adapters share: from FUSE's terms to ours and back. */
#ifndef FS_FUSE_ENTRY_H
#define FS_FUSE_ENTRY_H

#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdint.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/killed.h"
#include "fs/namespace.h"
#include "fs/worker.h"

static inline bool fuse_entry_interrupted(void *request)
{
	return fuse_req_interrupted(request) ||
	       killed_is_dying(fuse_req_ctx(request)->pid);
}

/* The calling worker, which serves @req from here on. */
static inline struct worker *fuse_entry_worker(fuse_req_t req)
{
	struct worker *w = worker_current();

	w->request = req;
	w->interrupted = fuse_entry_interrupted;
	return w;
}

/*
 * The kernel's arguments of the request just dispatched (struct fuse_open_in...), for
 * what libfuse 3.14 does not pass on.
 */
static inline const void *fuse_entry_arguments(const struct worker *w)
{
	return w->slot->data - sizeof(struct fuse_write_in);
}

static inline struct inode *fuse_entry_inode(struct fs *fs, fuse_ino_t ino)
{
	return inode_by_id(fs, ino);
}

/* Seconds for which the kernel may trust what it was told. */
static inline double fuse_entry_timeout(const struct fs *fs)
{
	return fs->shared ? 0 : 86400;
}

static inline struct fuse_entry_param fuse_entry_param(struct fs *fs,
						       const struct ns_entry *entry)
{
	struct fuse_entry_param param = {
		.ino = entry->inode->id,
		.generation = entry->inode->generation,
		.attr = entry->attr,
		.attr_timeout = fuse_entry_timeout(fs),
		.entry_timeout = fuse_entry_timeout(fs),
	};

	param.attr.st_ino = inode_shown(fs, entry->inode, entry->attr.st_ino);
	return param;
}

static inline struct ns_caller fuse_entry_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct ns_caller){
		.uid = ctx->uid,
		.gid = ctx->gid,
		.umask = ctx->umask,
	};
}

#endif
