/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/acl.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/worker.h"
#include "hsm/api/page.h"

/*
 * Removed by another machine, or in a directory that may not be searched any more: what
 * is open can still be asked.
 */
static int stat_open(struct fs *fs, struct inode *inode, struct stat *out)
{
	int fd = inode_dup_open(fs, inode), ret = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, out))
		ret = -errno;
	close(fd);
	if (!ret && (out->st_ino != inode->ino || out->st_dev != inode->dev))
		ret = -ESTALE;
	if (!ret)
		inode_plain(out);
	return ret;
}

int attr_get(struct worker *w, struct inode *inode, struct stat *out)
{
	int ret = inode_stat(worker_fs(w), inode, out);

	if (ret == -EACCES && !stat_open(worker_fs(w), inode, out))
		return 0;
	return ret == -ESTALE ? stat_open(worker_fs(w), inode, out) : ret;
}

static int set_owner(const struct inode_place *place, unsigned changes,
		     const struct stat *want, int follow)
{
	uid_t uid = changes & ATTR_UID ? want->st_uid : (uid_t)-1;
	gid_t gid = changes & ATTR_GID ? want->st_gid : (gid_t)-1;

	return fchownat(place->dirfd, place->name, uid, gid, follow) ? -errno : 0;
}

static int set_times(const struct inode_place *place, unsigned changes,
		     const struct stat *want, int follow)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_nsec = UTIME_OMIT},
	};

	if (changes & ATTR_ATIME)
		times[0] = want->st_atim;
	if (changes & ATTR_MTIME)
		times[1] = want->st_mtim;
	if (!utimensat(place->dirfd, place->name, times, follow))
		return 0;
	/* with its writeback cache the kernel says what time "now" is, but not of atime
	 */
	if (errno == EPERM && (changes & ATTR_MTIME) && times[0].tv_nsec == UTIME_NOW &&
	    !utimensat(place->dirfd, place->name, NULL, follow))
		return 0;
	return -errno;
}

/* All but the size. */
static int set_at(const struct inode_place *place, unsigned changes,
		  const struct stat *want)
{
	int follow = place->pinned ? 0 : AT_SYMLINK_NOFOLLOW, ret = 0;

	if (changes & (ATTR_UID | ATTR_GID))
		ret = set_owner(place, changes, want, follow);
	if (!ret && (changes & ATTR_MODE) &&
	    fchmodat(place->dirfd, place->name, want->st_mode & 07777, follow))
		ret = -errno;
	if (!ret && (changes & (ATTR_ATIME | ATTR_MTIME)))
		ret = set_times(place, changes, want, follow);
	return ret;
}

/*
 * The same of what is open, in a directory that may not be searched any more. The times
 * of a file the kernel writes back whatever became of that.
 */
static int set_open(struct fs *fs, struct inode *inode, unsigned changes,
		    const struct stat *want)
{
	struct inode_place place = {.dirfd = AT_FDCWD, .pinned = true};
	int fd = inode_dup_open(fs, inode), ret;

	if (fd < 0)
		return fd == -ESTALE ? -EACCES : fd;
	snprintf(place.proc, sizeof(place.proc), "/proc/self/fd/%d", fd);
	place.name = place.proc;
	ret = set_at(&place, changes, want);
	close(fd);
	return ret;
}

static int set_in_place(struct fs *fs, struct inode *inode, unsigned changes,
			const struct stat *want)
{
	struct inode_place place;
	int ret = inode_enter(fs, inode, &place);

	/* The writeback cache tells the times of files that were just removed. */
	if (ret == -ESTALE && inode_is_gone(fs, inode) &&
	    !(changes & ~(unsigned)(ATTR_SIZE | ATTR_ATIME | ATTR_MTIME | ATTR_CTIME)))
		return 0;
	if (!ret) {
		ret = set_at(&place, changes, want);
		inode_leave(fs, &place);
	}
	if (ret == -EACCES)
		ret = set_open(fs, inode, changes, want);
	return ret == -ENOENT ? -ESTALE : ret;
}

/*
 * Whether the time is that of what was written, which the kernel's cache tells. Who may
 * write to another's file may not set its times: the store's own must do.
 */
static bool is_written_at(unsigned changes, bool redate)
{
	const unsigned others = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME;

	return !(changes & others) && (redate || (changes & ATTR_SIZE));
}

int attr_set(struct worker *w, struct inode *inode, unsigned changes,
	     const struct stat *want, struct stat *out)
{
	struct timespec before;
	bool redate = false;
	int ret = 0;

	if ((changes & ATTR_MODE) && S_ISLNK(inode->type))
		return -EOPNOTSUPP;
	if (changes & ATTR_SIZE) {
		if (S_ISDIR(inode->type))
			return -EISDIR;
		if (!S_ISREG(inode->type) || want->st_size < 0)
			return -EINVAL;
		ret = file_truncate(w, inode, (uint64_t)want->st_size);
	}
	/* known before it is set, so that a closing meanwhile does not undo it */
	before = inode_mtime(worker_fs(w), inode);
	if (!ret && (changes & ATTR_MTIME) && want->st_mtim.tv_nsec != UTIME_NOW) {
		inode_set_mtime(worker_fs(w), inode, &want->st_mtim);
		redate = S_ISREG(inode->type) && file_being_dated(inode);
	}
	if (!ret && (changes & ~(unsigned)(ATTR_SIZE | ATTR_CTIME))) {
		ret = set_in_place(worker_fs(w), inode, changes, want);
		if (ret == -EPERM && is_written_at(changes, redate)) {
			file_written_back(inode);
			ret = 0;
		}
	}
	if (!ret && (changes & ATTR_MODE))
		ret = acl_follow_mode(w, inode, want->st_mode);
	if (!ret)
		ret = attr_get(w, inode, out);
	/* a time that was given stays: what is written meanwhile may have moved @out's */
	if ((changes & ATTR_MTIME) && (ret || want->st_mtim.tv_nsec == UTIME_NOW))
		inode_set_mtime(worker_fs(w), inode, ret ? &before : &out->st_mtim);
	/* it may have been closed meanwhile: who opens it then begins without */
	if (ret && redate)
		file_written_back(inode);
	return ret;
}

int attr_chmod(struct worker *w, struct inode *inode, mode_t mode)
{
	struct stat want = {.st_mode = mode};

	return set_in_place(worker_fs(w), inode, ATTR_MODE, &want);
}

int attr_drop_set_id(struct worker *w, struct inode *inode)
{
	struct stat st;
	mode_t mode;
	int ret = attr_get(w, inode, &st);

	if (ret)
		return ret;
	mode = st.st_mode & ~(mode_t)S_ISUID;
	if (mode & S_IXGRP)
		mode &= ~(mode_t)S_ISGID;
	if (mode == st.st_mode)
		return 0;
	return attr_chmod(w, inode, mode);
}

int attr_written(struct worker *w, struct inode *inode)
{
	/* without root's rights, the backing store does it when we write */
	return worker_fs(w)->give_away ? attr_drop_set_id(w, inode) : 0;
}

int attr_access(struct worker *w, struct inode *inode, int mask)
{
	struct inode_place place;
	int ret = inode_enter(worker_fs(w), inode, &place);
	int follow;

	if (ret)
		return ret;
	follow = place.pinned ? 0 : AT_SYMLINK_NOFOLLOW;
	if (faccessat(place.dirfd, place.name, mask, AT_EACCESS | follow))
		ret = -errno;
	inode_leave(worker_fs(w), &place);
	return ret == -ENOENT ? -ESTALE : ret;
}

/* Counts in units of @frsize bytes to such in pages. */
static fsblkcnt_t to_pages(fsblkcnt_t nr, unsigned long frsize)
{
	if (frsize >= PAGE_BYTES)
		return nr * (frsize / PAGE_BYTES);
	return nr / (PAGE_BYTES / (frsize ? frsize : 512));
}

int attr_statfs(struct worker *w, struct inode *inode, struct statvfs *out)
{
	unsigned long frsize;

	(void)inode; /* one backing store, whatever is asked about */
	if (fstatvfs(worker_fs(w)->root_fd, out))
		return -errno;
	frsize = out->f_frsize;
	out->f_blocks = to_pages(out->f_blocks, frsize);
	out->f_bfree = to_pages(out->f_bfree, frsize);
	out->f_bavail = to_pages(out->f_bavail, frsize);
	out->f_bsize = PAGE_BYTES;
	out->f_frsize = PAGE_BYTES;
	out->f_namemax = 255;
	return 0;
}
