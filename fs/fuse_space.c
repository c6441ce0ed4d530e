/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_space.h"

#include <errno.h>
#include <linux/falloc.h>
#include <unistd.h>

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
	if (!ret)
		ret = space_change(w, inode, what, (uint64_t)off, (uint64_t)len,
				   mode & FALLOC_FL_KEEP_SIZE);
	if (!w->fs->shared)
		file_written_back(inode);
	fuse_reply_err(req, -ret);
}

/*
 * The kernel asks without having written what is dirty, and what is not written yet may
 * look like a hole or the end. Having it drop the pages makes it write them, through
 * another worker.
 */
static int write_back(struct worker *w, fuse_ino_t ino, const struct inode *inode)
{
	int ret;

	if (!inode->file->writable)
		return 0;
	worker_may_block(w);
	ret = fuse_lowlevel_notify_inval_inode(w->fs->session, ino, 0, 0);
	return ret == -ENOENT ? 0 : ret;
}

static void do_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);
	struct inode *inode = fuse_entry_inode(w->fs, ino);
	uint64_t found;
	int ret = -EINVAL;

	(void)fi;
	if (off >= 0 && (whence == SEEK_DATA || whence == SEEK_HOLE))
		ret = write_back(w, ino, inode);
	if (!ret)
		ret = space_seek(w, inode, (uint64_t)off, whence == SEEK_HOLE, &found);
	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_lseek(req, (off_t)found);
}

void fuse_space_ops(struct fuse_lowlevel_ops *ops)
{
	ops->fallocate = do_fallocate;
	ops->lseek = do_lseek;
}
