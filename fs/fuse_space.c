/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_space.h"

#include <errno.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/attr.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/fuse_entry.h"
#include "fs/space.h"

/* What @mode of fallocate(2) asks for. 0 or -EOPNOTSUPP. */
static int change_of(int mode, enum space_change *what)
{
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		*what = SPACE_ALLOCATE;
		return 0;
	case FALLOC_FL_ZERO_RANGE:
		*what = SPACE_ZERO;
		return 0;
	case FALLOC_FL_PUNCH_HOLE:
		*what = SPACE_PUNCH;
		return mode & FALLOC_FL_KEEP_SIZE ? 0 : -EOPNOTSUPP;
	default:
		return -EOPNOTSUPP;
	}
}

static void do_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);
	enum space_change what;
	struct inode *inode = fuse_entry_inode(w->fs, ino);
	int ret = off < 0 || len <= 0 ? -EINVAL : change_of(mode, &what);

	(void)fi;
	/* what is a hole already is not written to; the kernel does not say who may keep
	 * them
	 */
	if (!ret && fuse_req_ctx(req)->uid)
		ret = attr_drop_set_id(w, inode);
	if (!ret)
		ret = space_change(w, inode, what, (uint64_t)off, (uint64_t)len,
				   mode & FALLOC_FL_KEEP_SIZE);
	if (w->fs->cache == FS_CACHE_WRITEBACK)
		file_written_back(inode);
	fuse_reply_err(req, -ret);
}

/* A SEEK_DATA or SEEK_HOLE. */
struct seek {
	struct seek *next;
	fuse_req_t req;
	fuse_ino_t ino;
	off_t off;
	bool hole;
};

/*
 * Those of files that may be dirty are answered by one worker, one after the other: were
 * all workers waiting for the kernel to write, nobody would serve what it writes.
 */
static struct {
	pthread_mutex_t lock;
	struct seek *first, **end;
	bool busy; /* a worker is at it */
} seeks = {PTHREAD_MUTEX_INITIALIZER, NULL, &seeks.first, false};

/* True when the caller has to answer it, and what comes in meanwhile. */
static bool add_seek(struct seek *seek)
{
	bool was_busy;

	seek->next = NULL;
	pthread_mutex_lock(&seeks.lock);
	*seeks.end = seek;
	seeks.end = &seek->next;
	was_busy = seeks.busy;
	seeks.busy = true;
	pthread_mutex_unlock(&seeks.lock);
	return !was_busy;
}

/* The next one to answer; NULL: it is done. */
static struct seek *next_seek(void)
{
	struct seek *seek;

	pthread_mutex_lock(&seeks.lock);
	seek = seeks.first;
	if (seek)
		seeks.first = seek->next;
	else
		seeks.busy = false;
	if (!seeks.first)
		seeks.end = &seeks.first;
	pthread_mutex_unlock(&seeks.lock);
	return seek;
}

/*
 * The kernel asks without having written what is dirty, and what is not written yet may
 * look like a hole or the end. Having it drop the pages makes it write them, through
 * another worker.
 */
static int write_back(struct worker *w, fuse_ino_t ino)
{
	int ret = worker_may_block(w);

	if (!ret)
		ret = fuse_lowlevel_notify_inval_inode(w->fs->session, ino, 0, 0);
	return ret == -ENOENT ? 0 : ret;
}

static void answer_seek(const struct seek *seek, bool dirty)
{
	struct worker *w = fuse_entry_worker(seek->req);
	struct inode *inode = fuse_entry_inode(w->fs, seek->ino);
	int ret = dirty ? write_back(w, seek->ino) : 0;
	uint64_t found;

	if (!ret)
		ret = space_seek(w, inode, (uint64_t)seek->off, seek->hole, &found);
	if (ret)
		fuse_reply_err(seek->req, -ret);
	else
		fuse_reply_lseek(seek->req, (off_t)found);
}

static void do_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	struct inode *inode = fuse_entry_inode(fuse_entry_worker(req)->fs, ino);
	struct seek now = {NULL, req, ino, off, whence == SEEK_HOLE}, *seek;

	(void)fi;
	if (off < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (!inode->file->writable) {
		answer_seek(&now, false);
		return;
	}
	seek = malloc(sizeof(*seek));
	if (!seek) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*seek = now;
	if (!add_seek(seek))
		return;
	while ((seek = next_seek())) {
		answer_seek(seek, true);
		free(seek);
	}
}

void fuse_space_ops(struct fuse_lowlevel_ops *ops)
{
	ops->fallocate = do_fallocate;
	ops->lseek = do_lseek;
}
