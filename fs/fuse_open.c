/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/data.h"
#include "fs/file.h"
#include "fs/fuse_entry.h"
#include "fs/fuse_loop.h"
#include "fs/worker.h"

/* Longer files are read in several requests anyway, or not to their end. */
enum { GIVE_MAX = 64 * 1024 };

/* An OPEN that is answered when the kernel has the content. */
struct opening {
	struct data_request data;
	fuse_req_t req;
	struct fuse_file_info fi;
};

/*
 * Direct openings go through the page cache's bookkeeping as well: past it the kernel
 * would send their writes in parallel, but with the writeback cache the times of a file
 * are its own, and it does not move them for writes it does not cache.
 */
static void set_opened(const struct worker *w, const struct inode *inode,
		       struct fuse_file_info *fi)
{
	fi->fh = file_nr_lost(inode);
	fi->keep_cache = w->fs->cache != FS_CACHE_NONE; /* nobody else changes the file */
	fi->direct_io = !fi->keep_cache;
	if (fi->direct_io && !w->fs->shared)
		worker_allow_parallel_writes();
}

static void reply_open(struct worker *w, fuse_req_t req, struct inode *inode,
		       struct fuse_file_info *fi)
{
	set_opened(w, inode, fi);
	if (fuse_reply_open(req, fi))
		file_close(w, inode);
}

/* Whoever reads is told of errors; opening is not concerned. */
static void content_read(struct worker *w, struct data_request *request, int ret,
			 const uint8_t *data)
{
	struct opening *opening = (struct opening *)request;
	struct inode *inode = request->inode;

	if (ret > 0)
		loop_store(w, inode->id, data, (size_t)ret);
	file_gave(inode);
	engine_slot_put(&w->engine, request->slot);
	reply_open(w, opening->req, inode, &opening->fi);
	free(opening);
}

/*
 * Who opens a small file to read it most often reads all of it: the kernel gets that with
 * the opening, which saves it another request. False if it does not.
 */
static bool give_content(struct worker *w, fuse_req_t req, struct inode *inode,
			 const struct fuse_file_info *fi)
{
	struct opening *opening;

	if ((fi->flags & (O_ACCMODE | O_TRUNC | O_DIRECT)) != O_RDONLY ||
	    w->fs->cache == FS_CACHE_NONE)
		return false;
	opening = malloc(sizeof(*opening));
	if (!opening || !file_may_give(w, inode, GIVE_MAX)) {
		free(opening);
		return false;
	}
	opening->req = req;
	opening->fi = *fi;
	opening->data.inode = inode;
	opening->data.slot = w->slot;
	opening->data.off = 0;
	opening->data.size = GIVE_MAX;
	opening->data.op.interrupted = fuse_entry_interrupted;
	opening->data.op.request = req;
	opening->data.done = content_read;
	data_read(w, &opening->data);
	w->slot = NULL;
	return true;
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);
	struct inode *inode = fuse_entry_inode(w->fs, ino);
	const struct fuse_open_in *in = fuse_entry_arguments(w);
	bool drop_set_id = in->open_flags & FUSE_OPEN_KILL_SUIDGID;
	int ret = file_open(w, inode, fi->flags);

	if (!ret && drop_set_id) {
		ret = attr_written(w, inode);
		if (ret)
			file_close(w, inode);
	}

	if (ret) {
		fuse_reply_err(req, -ret);
		return;
	}
	if ((fi->flags & O_TRUNC) && w->fs->cache == FS_CACHE_WRITEBACK)
		file_written_back(inode);
	if (!give_content(w, req, inode, fi))
		reply_open(w, req, inode, fi);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);
	struct ns_caller caller = fuse_entry_caller(req);
	struct fuse_entry_param param;
	struct inode *dir = fuse_entry_inode(w->fs, parent);
	struct ns_entry entry;
	int ret;

	/* fs/fuse_loop.c gives us FUSE_TMPFILE as well, told by this name */
	if (!strcmp(name, "/"))
		ret = ns_tmpfile(w, dir, mode, &caller, &entry);
	else
		ret = ns_create(w, dir, name, mode, fi->flags, &caller, &entry);
	if (ret) {
		fuse_reply_err(req, -ret);
		return;
	}
	set_opened(w, entry.inode, fi);
	param = fuse_entry_param(w->fs, &entry);
	if (fuse_reply_create(req, &param, fi)) {
		file_close(w, entry.inode);
		inode_forget(w->fs, entry.inode, 1);
	}
}

void fuse_open_ops(struct fuse_lowlevel_ops *ops)
{
	ops->create = do_create;
	ops->open = do_open;
}
