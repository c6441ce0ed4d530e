/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/volume/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h> /* renameat2() */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ROOM = 16384,	   /* kept in the spare file, for texts that grow */
	WIPED_MAX = 65536, /* no text is longer */
};

static const char spare[] = "spare";

/*
 * Written in place where the store would else copy on write (btrfs), which needs room. A
 * store that does not know the flag, or has no room to keep, is used as it is.
 */
static void reserve(int fd)
{
	int flags = 0;

	if (!ioctl(fd, FS_IOC_GETFLAGS, &flags) && !(flags & FS_NOCOW_FL)) {
		flags |= FS_NOCOW_FL;
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, ROOM))
		errno = 0;
}

static int open_existing(int dirfd)
{
	int fd = openat(dirfd, spare, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink == 1)
		return fd;
	close(fd);
	return -ELOOP;
}

/* The spare file, made if there is none, or something else in its place. */
static int open_spare(int dirfd)
{
	int fd = open_existing(dirfd);

	if (fd >= 0)
		return fd;
	if (fd != -ENOENT && unlinkat(dirfd, spare, 0))
		return -errno;
	fd = openat(dirfd, spare, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	reserve(fd);
	return fd;
}

static int write_all(int fd, const char *text, size_t len)
{
	off_t at = 0;

	while ((size_t)at < len) {
		ssize_t n = pwrite(fd, text + at, len - (size_t)at, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
	}
	return 0;
}

/* Nothing but @text is in the file, durably. Closes @fd. */
static int write_file(int fd, const char *text, size_t len)
{
	struct stat st;
	int ret = write_all(fd, text, len);

	if (!ret && fstat(fd, &st))
		ret = -errno;
	/* only if it must be: cutting gives reserved room back */
	if (!ret && (size_t)st.st_size > len && ftruncate(fd, (off_t)len))
		ret = -errno;
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

/*
 * What was replaced may hold what must not be found any more: a key slot that was
 * removed. It is overwritten, or else goes. Where there is none, one is made.
 */
static void recycle(int dirfd)
{
	static const char zeros[WIPED_MAX];
	int fd = open_spare(dirfd);
	struct stat st;
	bool wiped;

	if (fd < 0)
		return;
	wiped = !fstat(fd, &st) && st.st_size <= WIPED_MAX &&
		!write_all(fd, zeros, (size_t)st.st_size) && !fdatasync(fd);
	reserve(fd);
	if (close(fd) || !wiped)
		unlinkat(dirfd, spare, 0);
}

/* The spare file becomes @name, and the other way round where the store can do that. */
static int exchange(int dirfd, const char *name)
{
	if (renameat2(dirfd, spare, dirfd, name, RENAME_EXCHANGE)) {
		if (errno != ENOENT && errno != EINVAL && errno != ENOSYS)
			return -errno;
		if (renameat(dirfd, spare, dirfd, name))
			return -errno;
	}
	return fsync(dirfd) ? -errno : 0;
}

/*
 * On a store that is too full even for changing names (btrfs), or for a spare file that
 * is missing: mounting must be possible, or nothing could be deleted. The blocks are
 * there; a crash half-way costs this file. @full is what a store says to a new file.
 */
static int rewrite(int dirfd, const char *name, const char *text, size_t len, int full)
{
	int fd = openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? full : -errno;
	return write_file(fd, text, len);
}

int replace_file(int dirfd, const char *name, const char *text, size_t len)
{
	int fd = open_spare(dirfd);
	int ret = fd < 0 ? fd : write_file(fd, text, len);

	if (!ret)
		ret = exchange(dirfd, name);
	if (ret == -ENOSPC || ret == -EDQUOT)
		return rewrite(dirfd, name, text, len, ret);
	if (!ret)
		recycle(dirfd);
	return ret;
}
