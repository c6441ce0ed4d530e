/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_data.h"

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

/* A READ or WRITE that is under way. */
struct transfer {
	struct data_request data;
	fuse_req_t req;
};

static void end_transfer(struct worker *w, struct transfer *transfer)
{
	engine_slot_put(&w->engine, transfer->data.slot);
	free(transfer);
}

static void read_done(struct worker *w, struct data_request *request, int ret,
		      const uint8_t *data)
{
	struct transfer *transfer = (struct transfer *)request;

	if (ret < 0)
		fuse_reply_err(transfer->req, -ret);
	else
		fuse_reply_buf(transfer->req, (const char *)data, (size_t)ret);
	end_transfer(w, transfer);
}

static void write_done(struct worker *w, struct data_request *request, int ret,
		       const uint8_t *data)
{
	struct transfer *transfer = (struct transfer *)request;

	(void)data;
	/* before the answer: a close may come at once, and another may come any time */
	if (w->fs->cache == FS_CACHE_WRITEBACK)
		file_written_back(request->inode);
	if (ret < 0)
		fuse_reply_err(transfer->req, -ret);
	else
		fuse_reply_write(transfer->req, (size_t)ret);
	end_transfer(w, transfer);
}

/* A transfer that has taken over the worker's slot; NULL after answering with ENOMEM. */
static struct transfer *begin_transfer(struct worker *w, fuse_req_t req, fuse_ino_t ino,
				       size_t size, off_t off)
{
	struct transfer *transfer = malloc(sizeof(*transfer));

	if (!transfer) {
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	transfer->req = req;
	transfer->data.inode = fuse_entry_inode(w->fs, ino);
	transfer->data.slot = w->slot;
	transfer->data.off = (uint64_t)off;
	transfer->data.size = (uint32_t)size;
	transfer->data.op.interrupted = fuse_entry_interrupted;
	transfer->data.op.request = req;
	return transfer;
}

/* The slot stays the worker's current one while the request is being prepared. */
static void start_transfer(struct worker *w, struct transfer *transfer,
			   void (*start)(struct worker *w, struct data_request *request))
{
	start(w, &transfer->data);
	w->slot = NULL;
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);
	struct transfer *transfer = begin_transfer(w, req, ino, size, off);

	(void)fi;
	if (!transfer)
		return;
	transfer->data.done = read_done;
	start_transfer(w, transfer, data_read);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);
	const struct fuse_write_in *in = fuse_entry_arguments(w);
	struct inode *inode = fuse_entry_inode(w->fs, ino);
	struct transfer *transfer;
	int ret = 0;

	(void)fi;
	(void)buf; /* it is w->slot->data: the message was received so */
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		ret = attr_written(w, inode);
	if (ret) {
		fuse_reply_err(req, -ret);
		return;
	}
	transfer = begin_transfer(w, req, ino, size, off);
	if (!transfer)
		return;
	transfer->data.done = write_done;
	start_transfer(w, transfer, data_write);
}

static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);

	fuse_reply_err(req,
		       -file_flush(w, fuse_entry_inode(w->fs, ino), (unsigned)fi->fh));
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);

	(void)fi;
	fuse_reply_err(req, -file_close(w, fuse_entry_inode(w->fs, ino)));
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);

	fuse_reply_err(req, -file_fsync(w, fuse_entry_inode(w->fs, ino), (unsigned)fi->fh,
					datasync));
}

void fuse_data_ops(struct fuse_lowlevel_ops *ops, const struct fs *fs)
{
	ops->read = do_read;
	ops->write = do_write;
	/* a handler that is not there tells the kernel not to ask: a round trip less */
	ops->flush = file_tells_at_close(fs->root_fd) ? do_flush : NULL;
	ops->release = do_release;
	ops->fsync = do_fsync;
}
