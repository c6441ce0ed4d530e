/* SPDX-License-Identifier: Apache-2.0 */
/* Where inodes are: a bounded cache of directory descriptors (fs/inode.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/inode_table.h"
#include "fs/volume/layout.h"
#include "fs/volume/name.h"

enum {
	FDS_MIN = 16,
	FDS_MAX = 4096,
	DEPTH_MAX =
		1 << 20, /* directories moved behind our back may seem to form a ring */
};

void place_cache_init(struct inode_table *table)
{
	struct rlimit limit;
	rlim_t share = FDS_MIN;

	if (!getrlimit(RLIMIT_NOFILE, &limit))
		share = limit.rlim_cur / 4;
	table->max_fds = share < FDS_MIN   ? FDS_MIN
			 : share > FDS_MAX ? FDS_MAX
					   : (unsigned)share;
}

static void lru_remove(struct inode_table *table, struct inode *dir)
{
	if (dir->dir.lru_prev)
		dir->dir.lru_prev->dir.lru_next = dir->dir.lru_next;
	else
		table->lru_first = dir->dir.lru_next;
	if (dir->dir.lru_next)
		dir->dir.lru_next->dir.lru_prev = dir->dir.lru_prev;
	else
		table->lru_last = dir->dir.lru_prev;
	dir->dir.lru_prev = NULL;
	dir->dir.lru_next = NULL;
}

static void lru_add(struct inode_table *table, struct inode *dir)
{
	dir->dir.lru_next = table->lru_first;
	if (table->lru_first)
		table->lru_first->dir.lru_prev = dir;
	else
		table->lru_last = dir;
	table->lru_first = dir;
}

static bool is_cached(const struct inode_table *table, const struct inode *dir)
{
	return S_ISDIR(dir->type) && dir != table->root && dir->dir.fd >= 0;
}

void place_uncache(struct inode_table *table, struct inode *dir)
{
	if (!is_cached(table, dir))
		return;
	lru_remove(table, dir);
	table->nr_fds--;
	close(dir->dir.fd);
	dir->dir.fd = -1;
}

/* Makes room for one descriptor; those that are borrowed stay. */
static void cache_trim(struct inode_table *table)
{
	struct inode *dir = table->lru_last;

	while (dir && table->nr_fds >= table->max_fds) {
		struct inode *prev = dir->dir.lru_prev;

		if (!dir->dir.users)
			place_uncache(table, dir);
		dir = prev;
	}
}

static void cache_add(struct inode_table *table, struct inode *dir, int fd)
{
	cache_trim(table);
	dir->dir.fd = fd;
	lru_add(table, dir);
	table->nr_fds++;
}

/* The descriptor at hand for @dir, or -1. */
static int fd_at_hand(const struct inode *dir)
{
	return !dir->links && dir->pin_fd >= 0 ? dir->pin_fd : dir->dir.fd;
}

static int open_checked(int dirfd, const struct inode_link *link, const struct inode *dir)
{
	int fd = openat(dirfd, link->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? -ESTALE
									     : -errno;
	if (!fstat(fd, &st) && st.st_ino == dir->ino && st.st_dev == dir->dev)
		return fd;
	close(fd);
	return -ESTALE;
}

/* Opens @dir, whose parent's descriptor is at hand. Drops table->lock for a while. */
static int cache_fill(struct inode_table *table, struct inode *dir)
{
	struct inode_link *link = dir->links;
	struct inode *parent = link->parent;
	int parent_fd = fd_at_hand(parent), fd;

	parent->dir.users++;
	pthread_mutex_unlock(&table->lock);
	fd = open_checked(parent_fd, link, dir);
	pthread_mutex_lock(&table->lock);
	parent->dir.users--;
	if (fd < 0)
		return fd;
	if (dir->dir.fd < 0)
		cache_add(table, dir, fd);
	else
		close(fd);
	return 0;
}

/* The topmost directory above @dir (or itself) whose parent can be used. NULL: none. */
static struct inode *first_missing(struct inode *dir)
{
	for (int depth = 0; dir->links && depth < DEPTH_MAX; depth++) {
		struct inode *parent = dir->links->parent;

		if (fd_at_hand(parent) >= 0)
			return dir;
		dir = parent;
	}
	return NULL;
}

int inode_borrow(struct fs *fs, struct inode *dir)
{
	struct inode_table *table = fs->inodes;
	int ret = 0;

	pthread_mutex_lock(&table->lock);
	while (!ret && fd_at_hand(dir) < 0) {
		struct inode *missing = first_missing(dir);

		ret = missing ? cache_fill(table, missing) : -ESTALE;
	}
	if (!ret) {
		ret = fd_at_hand(dir);
		dir->dir.users++;
		if (is_cached(table, dir)) {
			lru_remove(table, dir);
			lru_add(table, dir);
		}
	}
	pthread_mutex_unlock(&table->lock);
	return ret;
}

void inode_return(struct fs *fs, struct inode *dir)
{
	pthread_mutex_lock(&fs->inodes->lock);
	dir->dir.users--;
	pthread_mutex_unlock(&fs->inodes->lock);
}

static bool is_backing(const struct inode *inode, const struct stat *st)
{
	return st->st_ino == inode->ino && st->st_dev == inode->dev &&
	       (st->st_mode & S_IFMT) == inode->type;
}

/* An open file without a name becomes pinned by a copy of its descriptor. */
static int pin_open_file(struct fs *fs, struct inode *inode)
{
	struct inode_table *table = fs->inodes;
	int fd = inode_dup_open(fs, inode);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !is_backing(inode, &st)) {
		close(fd);
		return -ESTALE;
	}
	pthread_mutex_lock(&table->lock);
	if (inode->pin_fd < 0) {
		inode->pin_fd = fd;
		fd = -1;
	}
	pthread_mutex_unlock(&table->lock);
	if (fd >= 0)
		close(fd);
	return 0;
}

static int locate_pinned(struct fs *fs, struct inode *inode, struct inode_place *place)
{
	struct inode_table *table = fs->inodes;
	int ret = 0, fd;

	pthread_mutex_lock(&table->lock);
	fd = inode->pin_fd;
	pthread_mutex_unlock(&table->lock);
	if (fd < 0)
		ret = pin_open_file(fs, inode);
	if (ret)
		return ret;
	place->dirfd = AT_FDCWD;
	place->pinned = true;
	/* Once set, pin_fd stays while the tree is held. */
	snprintf(place->proc, sizeof(place->proc), "/proc/self/fd/%d", inode->pin_fd);
	place->name = place->proc;
	return 0;
}

/* Known name number @nr of @inode, or NULL; @more: it has others. */
static struct inode_link *known_name(struct inode_table *table, struct inode *inode,
				     unsigned nr, bool *more)
{
	struct inode_link *link;

	pthread_mutex_lock(&table->lock);
	link = inode->links;
	*more = link && link->next;
	for (unsigned i = 0; link && i < nr; i++)
		link = link->next;
	pthread_mutex_unlock(&table->lock);
	return link;
}

/* @check: -EACCES also when the directory cannot be searched. */
static int locate_link(struct fs *fs, struct inode_link *link, bool check,
		       struct inode_place *place)
{
	int fd = inode_borrow(fs, link->parent);

	if (fd < 0)
		return fd;
	if (check && faccessat(fd, ".", F_OK, 0) && errno == EACCES) {
		inode_return(fs, link->parent);
		return -EACCES;
	}
	place->dir = link->parent;
	place->dirfd = fd;
	place->name = link->name;
	return 0;
}

/* Of several names one may be where we cannot go any more. */
static int locate_linked(struct fs *fs, struct inode *inode, struct inode_place *place)
{
	int ret = -ENOENT;
	bool more;

	for (unsigned nr = 0; ret == -EACCES || !nr; nr++) {
		struct inode_link *link = known_name(fs->inodes, inode, nr, &more);

		if (!link)
			break;
		ret = locate_link(fs, link, more, place);
	}
	return ret;
}

int inode_locate(struct fs *fs, struct inode *inode, struct inode_place *place)
{
	struct inode_table *table = fs->inodes;
	int ret;

	place->dir = NULL;
	place->pinned = false;
	if (inode == table->root) {
		place->dirfd = inode->dir.fd;
		place->name = ".";
		return 0;
	}
	ret = locate_linked(fs, inode, place);
	return ret == -ENOENT ? locate_pinned(fs, inode, place) : ret;
}

void inode_unlocate(struct fs *fs, struct inode_place *place)
{
	if (place->dir)
		inode_return(fs, place->dir);
	place->dir = NULL;
}

int inode_enter(struct fs *fs, struct inode *inode, struct inode_place *place)
{
	int ret;

	pthread_rwlock_rdlock(&fs->tree);
	ret = inode_locate(fs, inode, place);
	if (ret)
		pthread_rwlock_unlock(&fs->tree);
	return ret;
}

void inode_leave(struct fs *fs, struct inode_place *place)
{
	inode_unlocate(fs, place);
	pthread_rwlock_unlock(&fs->tree);
}

void inode_plain(struct stat *st)
{
	if (S_ISREG(st->st_mode))
		st->st_size = (off_t)layout_plain_size((uint64_t)st->st_size);
	else if (S_ISLNK(st->st_mode))
		st->st_size = (off_t)name_blob_plain_len((size_t)st->st_size);
	st->st_blksize = PAGE_BYTES;
}

bool inode_is_gone(struct fs *fs, struct inode *inode)
{
	bool gone;

	pthread_mutex_lock(&fs->inodes->lock);
	gone = inode->gone && !inode->links && inode->pin_fd < 0;
	pthread_mutex_unlock(&fs->inodes->lock);
	return gone;
}

int inode_stat(struct fs *fs, struct inode *inode, struct stat *st)
{
	struct inode_place place;
	int ret = inode_enter(fs, inode, &place);

	if (ret == -ESTALE && inode_is_gone(fs, inode)) {
		*st = *inode->gone; /* never changes */
		return 0;
	}
	if (ret)
		return ret;
	if (fstatat(place.dirfd, place.name, st, place.pinned ? 0 : AT_SYMLINK_NOFOLLOW))
		ret = errno == ENOENT ? -ESTALE : -errno;
	inode_leave(fs, &place);
	if (!ret && !is_backing(inode, st))
		ret = -ESTALE;
	if (!ret)
		inode_plain(st);
	return ret;
}

/* Makes sure of what was opened. Returns @fd, or closes it. */
static int check_opened(const struct inode *inode, int fd, int flags)
{
	struct stat st;
	int ret = -ESTALE;

	if (fstat(fd, &st))
		ret = -errno;
	else if (is_backing(inode, &st))
		ret = 0;
	if (!ret && S_ISREG(inode->type) && !(flags & O_PATH) &&
	    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		ret = -errno;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

int inode_open_backing(struct fs *fs, struct inode *inode, int flags)
{
	struct inode_place place;
	int ret = inode_enter(fs, inode, &place), fd, open_flags = flags | O_CLOEXEC;

	if (ret)
		return ret;
	if (!place.pinned)
		open_flags |= O_NOFOLLOW;
	if (S_ISDIR(inode->type))
		open_flags |= O_DIRECTORY;
	else
		open_flags |= O_NONBLOCK; /* a FIFO put in its place must not stall us */
	fd = openat(place.dirfd, place.name, open_flags);
	ret = fd < 0 ? -errno : 0;
	inode_leave(fs, &place);
	if (ret)
		return ret == -ENOENT || ret == -ELOOP ? -ESTALE : ret;
	return check_opened(inode, fd, flags);
}
