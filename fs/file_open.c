/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/pages.h"
#include "fs/size.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

/* What the backing file is opened for; all but reading need it writable. */
enum opening { TO_READ, TO_WRITE, TO_EMPTY };

void file_init(struct file *file)
{
	file->fd = -1;
	file->writable = false;
	file->nr_open = file->nr_lost = 0;
	file->being_given = false;
	file->has_id = file->proven = file->sparse = false;
	file->bad = file->end_right = file->cut_due = false;
	file->durable_pages = UINT64_MAX;
	file->backing_size = 0;
	range_lock_init(&file->pages);
}

void file_fini(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
}

/*
 * Changing part of a page needs the rest of it, so even a file that its owner may only
 * write is opened for both, and one that he may only run is read: as its owner we may
 * lend ourselves the right for a moment.
 */
static int open_unreadable(struct fs *fs, struct inode *inode, bool writable)
{
	mode_t needed = writable ? S_IWUSR : S_IXUSR;
	int path = inode_open_backing(fs, inode, O_PATH | O_CLOEXEC);
	char proc[32];
	struct stat st;
	int fd = -EACCES;

	if (path < 0)
		return path;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path);
	if (!fstat(path, &st) && (st.st_mode & needed) &&
	    !chmod(proc, (st.st_mode & 07777) | S_IRUSR)) {
		fd = open(proc, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
		if (chmod(proc, st.st_mode & 07777) && fd >= 0) {
			close(fd);
			fd = -EIO;
		}
	}
	close(path);
	return fd;
}

static int open_backing(struct fs *fs, struct inode *inode, bool writable, bool run)
{
	int fd = inode_open_backing(
		fs, inode, (writable ? O_RDWR : O_RDONLY) | O_NOATIME | O_CLOEXEC);

	/* O_NOATIME is for owners only */
	if (fd == -EPERM)
		fd = inode_open_backing(fs, inode,
					(writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd == -EACCES && (writable || run))
		fd = open_unreadable(fs, inode, writable);
	return fd;
}

static bool is_open_for(const struct file *file, bool writable)
{
	return file->fd >= 0 && (file->writable || !writable);
}

/*
 * Others may be reading through the descriptor right now: its number stays. The lock that
 * one of them has on it against other machines would go: these are waited for.
 */
static int exchange(struct worker *w, struct file *file, int fd)
{
	struct range all = {.first = 0, .last = RANGE_END, .exclusive = true};
	int ret = 0;

	if (w->fs->shared)
		ret = range_wait(&file->pages, &all, worker_look_around, w);
	if (ret)
		return ret;
	if (dup3(fd, file->fd, O_CLOEXEC) < 0)
		ret = -errno;
	else
		file->writable = true;
	if (w->fs->shared)
		range_release(&file->pages, &all);
	return ret;
}

/* Makes @fd the file's descriptor, or drops it if another thread was faster. Owns fd. */
static int install(struct worker *w, struct file *file, int fd, enum opening opening)
{
	int ret = 0;

	if (file->fd < 0) {
		file->fd = fd;
		file->writable = opening != TO_READ;
		ret = pages_learn(w, file);
		file->bad = ret == -EIO || ret == -EFBIG;
		if (!ret || (file->bad && opening == TO_EMPTY))
			return 0;
		file->fd = -1;
	} else if (!is_open_for(file, opening != TO_READ)) {
		ret = exchange(w, file, fd);
	}
	close(fd);
	return ret;
}

/* What was known of the end of the file when it was closed still holds. */
static void recall(const struct fs *fs, const struct inode *inode)
{
	struct file *file = inode->file;
	uint64_t pages = layout_pages(file_size(file));

	if (fs->shared || inode->durable_pages == UINT32_MAX)
		return;
	file->durable_pages = inode->durable_pages < pages ? inode->durable_pages : pages;
}

/*
 * The kernel goes by the size that it knows: behind the end of a file that somebody has
 * cut it would read zeros.
 */
static bool was_resized(const struct fs *fs, const struct inode *inode,
			const struct file *file)
{
	return !fs->shared && file->backing_size != __atomic_load_n(&inode->backing_size,
								    __ATOMIC_RELAXED);
}

/* The first opening: inode->lock is held. Owns fd, as install(). */
static int install_new(struct worker *w, struct inode *inode, int fd,
		       enum opening opening)
{
	struct file *file = calloc(1, sizeof(*file));
	int ret = -ENOMEM;

	if (!file) {
		close(fd);
		return ret;
	}
	file_init(file);
	__atomic_and_fetch(&inode->marks, (uint8_t)~INODE_REDATE, __ATOMIC_SEQ_CST);
	ret = install(w, file, fd, opening);
	if (!ret && was_resized(w->fs, inode, file))
		file->bad = true;
	if (!ret && file->bad && opening != TO_EMPTY) {
		close(fd);
		ret = -EIO;
	}
	if (ret) {
		free(file);
		return ret;
	}
	inode_set_file(w->fs, inode, file);
	recall(w->fs, inode);
	return 0;
}

void file_lock(struct worker *w, struct inode *inode)
{
	if (!pthread_mutex_trylock(&inode->lock))
		return;
	worker_may_block(w);
	pthread_mutex_lock(&inode->lock);
}

/*
 * One more opening of the file, for which @fd (or -1) was opened. -EAGAIN: a descriptor
 * is needed after all. The backing file is opened without inode->lock, which comes after
 * the tree's.
 */
static int count_open(struct worker *w, struct inode *inode, int fd, enum opening opening)
{
	bool writable = opening != TO_READ;
	int ret = 0;

	/* exchange() must not wait for what this worker has under way itself */
	if (fd >= 0 && w->fs->shared)
		ret = worker_may_block(w);
	if (ret) {
		close(fd);
		return ret;
	}
	file_lock(w, inode);
	if (fd >= 0)
		ret = inode->file ? install(w, inode->file, fd, opening)
				  : install_new(w, inode, fd, opening);
	else if (!inode->file || !is_open_for(inode->file, writable))
		ret = -EAGAIN;
	if (!ret && inode->file->bad && opening != TO_EMPTY)
		ret = -EIO;
	if (!ret && inode->file->nr_open++ == 0)
		inode_hold(w->fs, inode);
	if (!ret && writable && w->fs->cache == FS_CACHE_WRITEBACK)
		__atomic_or_fetch(&inode->marks, INODE_GIVEN, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&inode->lock);
	return ret;
}

/*
 * The kernel may be given the content: see file_may_give(). Whoever reads then is not
 * waited for. 0 or -EINTR.
 */
static int wait_until_given(struct worker *w, struct file *file)
{
	struct range end = {.first = RANGE_END, .last = RANGE_END, .exclusive = true};
	int ret;

	if (!__atomic_load_n(&file->being_given, __ATOMIC_SEQ_CST))
		return 0;
	ret = pages_lock(w, file, &end);
	if (!ret)
		range_release(&file->pages, &end);
	return ret;
}

static int open_to(struct worker *w, struct inode *inode, enum opening opening, bool run)
{
	bool writable = opening != TO_READ;
	int fd, ret;

	if (writable && w->fs->read_only)
		return -EROFS;
	ret = count_open(w, inode, -1, opening);
	if (ret != -EAGAIN)
		return ret;
	fd = open_backing(w->fs, inode, writable, run);
	return fd < 0 ? fd : count_open(w, inode, fd, opening);
}

int file_open(struct worker *w, struct inode *inode, int flags)
{
	enum opening opening = flags & O_TRUNC			 ? TO_EMPTY
			       : (flags & O_ACCMODE) != O_RDONLY ? TO_WRITE
								 : TO_READ;
	int ret = open_to(w, inode, opening, flags & FILE_OPEN_EXEC);

	if (ret)
		return ret;
	ret = wait_until_given(w, inode->file);
	if (!ret && (flags & O_TRUNC))
		ret = file_truncate(w, inode, 0);
	if (ret)
		file_close(w, inode);
	return ret;
}

int file_adopt(struct worker *w, struct inode *inode, int fd)
{
	return count_open(w, inode, fd, TO_WRITE);
}

bool file_may_give(struct worker *w, struct inode *inode, uint32_t max)
{
	struct file *file = inode->file;
	uint64_t size = file_size(file);
	bool may = false;

	if (!w->fs->gives || w->fs->shared || !size || size > max ||
	    __atomic_load_n(&inode->marks, __ATOMIC_SEQ_CST) & INODE_GIVEN)
		return false;
	if (pthread_mutex_trylock(&inode->lock))
		return false;
	if (file->nr_open == 1) {
		file->giving = (struct range){.first = 0, .last = RANGE_END};
		may = range_try(&file->pages, &file->giving);
	}
	if (may) {
		__atomic_or_fetch(&inode->marks, INODE_GIVEN, __ATOMIC_SEQ_CST);
		__atomic_store_n(&file->being_given, true, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&inode->lock);
	return may;
}

void file_gave(struct inode *inode)
{
	struct file *file = inode->file;

	__atomic_store_n(&file->being_given, false, __ATOMIC_SEQ_CST);
	range_release(&file->pages, &file->giving);
}

static int truncate_open(struct worker *w, struct inode *inode, uint64_t size)
{
	struct range range = {.first = 0, .last = RANGE_END, .exclusive = true};
	int ret = pages_lock(w, inode->file, &range);

	if (ret)
		return ret;
	ret = size_set(w, inode->file, size);
	range_release(&inode->file->pages, &range);
	return ret;
}

int file_truncate(struct worker *w, struct inode *inode, uint64_t size)
{
	int ret = open_to(w, inode, size ? TO_WRITE : TO_EMPTY, false);
	int closed;

	if (ret)
		return ret;
	ret = truncate_open(w, inode, size);
	closed = file_close(w, inode);
	return ret ? ret : closed;
}
