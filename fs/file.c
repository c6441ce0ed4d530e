/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/ns.h"
#include "fs/pages.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

void file_written_back(struct inode *inode)
{
	__atomic_or_fetch(&inode->marks, INODE_REDATE, __ATOMIC_SEQ_CST);
}

bool file_being_dated(struct inode *inode)
{
	return __atomic_fetch_and(&inode->marks, (uint8_t)~INODE_REDATE,
				  __ATOMIC_SEQ_CST) &
	       INODE_REDATE;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/*
 * The kernel sends a new mtime only when its clock has moved since the last one, which
 * our writing must not change then. One that it sends meanwhile must win. Who does not
 * own the file cannot help it.
 */
static int redate(struct fs *fs, struct inode *inode)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}}, now;

	if (!file_being_dated(inode))
		return 0;
	now = inode_mtime(fs, inode);
	do {
		times[1] = now;
		if (futimens(inode->file->fd, times))
			return errno != EPERM ? -errno : 0;
		now = inode_mtime(fs, inode);
	} while (!same_time(&now, &times[1]));
	return 0;
}

void file_redate_all(struct fs *fs)
{
	struct inode **files;
	size_t nr;

	if (inode_all(fs, S_IFREG, &files, &nr))
		log_warn("the times of open files could not be set (no memory)");
	for (size_t i = 0; i < nr; i++) {
		if (files[i]->file && files[i]->file->fd >= 0 && redate(fs, files[i]))
			log_warn("the time of a file could not be set");
		inode_release(fs, files[i]);
	}
	free(files);
}

/* What recall() and was_resized() of fs/file_open.c go by. */
static void remember(struct inode *inode, const struct file *file)
{
	__atomic_store_n(&inode->backing_size, file->backing_size, __ATOMIC_RELAXED);
	inode->durable_pages = UINT32_MAX;
	if (file->durable_pages < UINT32_MAX)
		inode->durable_pages = (uint32_t)file->durable_pages;
}

/*
 * Only open files have a struct file, but for one whose end is not as it should be.
 * inode->lock is held.
 */
static int close_last(struct fs *fs, struct inode *inode)
{
	struct file *file = inode->file;
	int ret = 0;

	if (!file->cut_due)
		inode_set_file(fs, inode, NULL);
	if (close(file->fd))
		ret = -errno;
	file->fd = -1;
	if (file->cut_due)
		return ret;
	if (!file->bad)
		remember(inode, file);
	free(file);
	return ret;
}

int file_close(struct worker *w, struct inode *inode)
{
	int ret = redate(w->fs, inode), closed = 0;
	bool last;

	file_lock(w, inode);
	last = --inode->file->nr_open == 0;
	if (last)
		closed = close_last(w->fs, inode);
	pthread_mutex_unlock(&inode->lock);
	if (last)
		inode_release(w->fs, inode);
	return ret ? ret : closed;
}

bool file_tells_at_close(int fd)
{
	static const uint32_t silent[] = {
		EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC, TMPFS_MAGIC,
	};
	struct statfs st;

	if (fstatfs(fd, &st))
		return true;
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
		if ((uint32_t)st.f_type == silent[i])
			return false;
	return true;
}

unsigned file_nr_lost(const struct inode *inode)
{
	return __atomic_load_n(&inode->file->nr_lost, __ATOMIC_SEQ_CST);
}

/* @ret is what the store said. */
static int tell_lost(const struct inode *inode, unsigned since, int ret)
{
	if (ret)
		pages_lost(inode->file);
	else if (file_nr_lost(inode) != since)
		ret = -EIO;
	return ret;
}

int file_flush(struct worker *w, struct inode *inode, unsigned since)
{
	int fd, ret = redate(w->fs, inode);

	if (ret)
		return ret;
	/* stores like NFS report what became of writes at close */
	fd = dup(inode->file->fd);
	if (fd < 0)
		return -errno;
	return tell_lost(inode, since, close(fd) ? -errno : 0);
}

/*
 * What is there from now on counts as acknowledged: a page that is written longer while
 * fsync runs must be ordered as after it. One that is being written so has to be done. 0
 * or -EINTR.
 */
static int mark_durable(struct worker *w, struct file *file)
{
	struct range end = {.first = RANGE_END, .last = RANGE_END};
	int ret = pages_lock(w, file, &end);

	if (ret)
		return ret;
	file->durable_pages = layout_pages(file_size(file));
	range_release(&file->pages, &end);
	return 0;
}

int file_fsync(struct worker *w, struct inode *inode, unsigned since, bool datasync)
{
	int fd = inode->file->fd;
	int ret = worker_may_block(w);

	if (!ret)
		ret = redate(w->fs, inode);
	if (!ret)
		ret = mark_durable(w, inode->file);
	if (ret)
		return ret;
	ret = tell_lost(inode, since,
			(datasync ? fdatasync(fd) : fsync(fd)) ? -errno : 0);
	if (ret)
		return ret;
	ret = ns_sync_new(w, inode);
	/* entries of a directory that may not be read become durable with everything */
	if (ret == -EACCES)
		ret = syncfs(fd) ? -errno : 0;
	return ret;
}
