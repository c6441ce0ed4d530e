/* SPDX-License-Identifier: Apache-2.0 */
/* Durability of directory entries. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/namespace.h"
#include "fs/ns.h"
#include "fs/worker.h"

static int sync_dir(struct worker *w, struct inode *dir, bool datasync)
{
	int fd = inode_open_backing(worker_fs(w), dir, O_RDONLY | O_DIRECTORY), ret = 0;

	if (fd < 0)
		return fd;
	ret = worker_may_block(w);
	if (!ret && (datasync ? fdatasync(fd) : fsync(fd)))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

/* Syncs one new name of @inode and what is new above it. 1 if there was one, or -errno.
 */
static int sync_chain(struct worker *w, struct inode *inode)
{
	struct fs *fs = worker_fs(w);
	struct inode *dir, *held = NULL;
	uint32_t mark;
	int ret = 0;

	for (;;) {
		dir = inode_next_unsynced(fs, inode, &mark);
		if (!dir)
			break;
		ret = sync_dir(w, dir, false);
		if (!ret)
			inode_synced(fs, inode, mark);
		if (held)
			inode_release(fs, held);
		held = dir;
		inode = dir;
		if (ret)
			break;
		ret = 1;
	}
	if (held)
		inode_release(fs, held);
	return ret;
}

int ns_sync_new(struct worker *w, struct inode *inode)
{
	int ret;

	do {
		ret = sync_chain(w, inode);
	} while (ret > 0);
	return ret;
}

/* Entries of a directory that may not be read become durable with everything. */
static int sync_all(struct worker *w)
{
	int fd = openat(worker_fs(w)->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	worker_may_block(w);
	if (syncfs(fd))
		ret = -errno;
	close(fd);
	return ret;
}

int ns_fsyncdir(struct worker *w, struct inode *dir, int datasync)
{
	int ret = sync_dir(w, dir, datasync);

	if (!ret)
		ret = ns_sync_new(w, dir);
	return ret == -EACCES ? sync_all(w) : ret;
}
