/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/inode_table.h"
#include "fs/names.h"

enum {
	FIRST_BUCKETS = 1024,
	ROOT_ID = 1, /* FUSE's */
};

static struct inode **bucket_of(struct inode_table *table, uint64_t ino_or_id)
{
	uint64_t hash = table_key(ino_or_id) * UINT64_C(0x9e3779b97f4a7c15);

	return &table->buckets[(hash >> 32) & (table->nr_buckets - 1)];
}

static struct inode *find(struct inode_table *table, dev_t dev, ino_t ino)
{
	struct inode *inode = *bucket_of(table, ino);

	while (inode && (inode->ino != ino || inode->dev != dev || inode->superseded))
		inode = inode->hash_next;
	return inode;
}

struct inode *table_find_id(struct inode_table *table, uint64_t id)
{
	struct inode *inode = *bucket_of(table, id);

	if (id == table->root->id)
		return table->root;
	while (inode && inode->id != id)
		inode = inode->hash_next;
	return inode;
}

static void hash_add(struct inode_table *table, struct inode *inode)
{
	struct inode **bucket = bucket_of(table, inode->ino);

	inode->hash_next = *bucket;
	*bucket = inode;
	table->nr_hashed++;
}

static void hash_remove(struct inode_table *table, struct inode *inode)
{
	struct inode **at = bucket_of(table, inode->ino);

	while (*at != inode)
		at = &(*at)->hash_next;
	*at = inode->hash_next;
	inode->hash_next = NULL;
	table->nr_hashed--;
}

/* Keeps chains short; without memory they just get longer. */
static void hash_grow(struct inode_table *table)
{
	struct inode **old = table->buckets, **buckets;
	size_t nr_old = table->nr_buckets;

	if (table->nr_hashed < nr_old)
		return;
	buckets = calloc(nr_old * 2, sizeof(struct inode *));
	if (!buckets)
		return;
	table->buckets = buckets;
	table->nr_buckets = nr_old * 2;
	table->nr_hashed = 0;
	for (size_t i = 0; i < nr_old; i++) {
		while (old[i]) {
			struct inode *inode = old[i];

			old[i] = inode->hash_next;
			hash_add(table, inode);
		}
	}
	free(old);
}

static struct inode *inode_new(const struct stat *st)
{
	size_t size = S_ISDIR(st->st_mode)
			      ? sizeof(struct inode)
			      : offsetof(struct inode, file) + sizeof(struct file *);
	struct inode *inode = calloc(1, size);

	if (!inode)
		return NULL;
	inode->dev = (uint32_t)st->st_dev;
	inode->ino = st->st_ino;
	inode->type = st->st_mode & S_IFMT;
	inode->durable_pages = UINT32_MAX;
	inode->pin_fd = -1;
	pthread_mutex_init(&inode->lock, NULL);
	if (S_ISDIR(inode->type))
		inode->dir.fd = -1;
	return inode;
}

static void inode_free(struct inode *inode)
{
	while (inode->links) {
		struct inode_link *link = inode->links;

		inode->links = link->next;
		free(link);
	}
	if (inode->pin_fd >= 0)
		close(inode->pin_fd);
	if (S_ISREG(inode->type) && inode->file) {
		file_fini(inode->file);
		free(inode->file);
	}
	if (S_ISDIR(inode->type) && inode->dir.fd >= 0)
		close(inode->dir.fd);
	pthread_mutex_destroy(&inode->lock);
	free(inode->gone);
	free(inode);
}

static bool is_dead(const struct inode_table *table, const struct inode *inode)
{
	return !inode->nr_lookups && !inode->nr_refs && inode != table->root;
}

static void take_out(struct inode_table *table, struct inode *inode)
{
	hash_remove(table, inode);
	table->nr_freed++;
	place_uncache(table, inode);
}

/*
 * Takes @inode, if nobody refers to it, out of the table, and all ancestors that only
 * lived through it. Returns them chained by hash_next, to be freed without the lock.
 */
static struct inode *bury(struct inode_table *table, struct inode *inode)
{
	if (!is_dead(table, inode))
		return NULL;
	take_out(table, inode);
	for (struct inode *dead = inode; dead; dead = dead->hash_next) {
		for (struct inode_link *link = dead->links; link; link = link->next) {
			struct inode *parent = link->parent;

			parent->nr_refs--;
			if (!is_dead(table, parent))
				continue;
			take_out(table, parent);
			parent->hash_next = dead->hash_next;
			dead->hash_next = parent;
		}
	}
	return inode;
}

static void free_chain(struct inode *dead)
{
	while (dead) {
		struct inode *next = dead->hash_next;

		inode_free(dead);
		dead = next;
	}
}

/* Memory of so many inodes is worth being given back to the system. */
enum { TRIM_INODES = 16384 };

/* Seldom while there are many, and once more when most are gone. */
static bool trim_is_due(struct inode_table *table)
{
	bool due;

	pthread_mutex_lock(&table->lock);
	due = table->nr_freed >= TRIM_INODES && table->nr_freed >= table->nr_hashed;
	if (due)
		table->nr_freed = 0;
	pthread_mutex_unlock(&table->lock);
	return due;
}

/* Cached names lie between the inodes, on nearly every page: they have to go as well. */
static void free_and_trim(struct fs *fs, struct inode *dead)
{
	if (!dead)
		return;
	free_chain(dead);
	if (!trim_is_due(fs->inodes))
		return;
	names_forget(fs->names);
	malloc_trim(0);
}

int inode_table_create(struct fs *fs, int root_fd, struct inode_table **out)
{
	struct inode_table *table = calloc(1, sizeof(*table));
	struct stat st;
	int ret = -ENOMEM;

	if (!table)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	place_cache_init(table);
	/* another mount's handles must not happen to be ours */
	if (getrandom(&table->last_generation, sizeof(table->last_generation), 0) < 0)
		goto out;
	table->nr_buckets = FIRST_BUCKETS;
	table->buckets = calloc(table->nr_buckets, sizeof(struct inode *));
	if (!table->buckets)
		goto out;
	if (fstat(root_fd, &st)) {
		ret = -errno;
		goto out;
	}
	table->root = inode_new(&st);
	if (!table->root)
		goto out;
	table->root->id = ROOT_ID;
	table->root->dir.fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
	hash_add(table, table->root);
	if (table->root->dir.fd < 0) {
		ret = -errno;
		goto out;
	}
	fs->inodes = table;
	*out = table;
	return 0;
out:
	inode_table_destroy(table);
	return ret;
}

void inode_table_destroy(struct inode_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; table->buckets && i < table->nr_buckets; i++) {
		while (table->buckets[i]) {
			struct inode *inode = table->buckets[i];

			table->buckets[i] = inode->hash_next;
			inode_free(inode);
		}
	}
	free(table->buckets);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

struct inode *inode_root(struct fs *fs)
{
	return fs->inodes->root;
}

/* The inode of backing (@st), if it is known. table->lock is held. */
static struct inode *find_backing(struct inode_table *table, const struct stat *st)
{
	struct inode *inode = find(table, st->st_dev, st->st_ino);

	if (!inode || inode->type == (st->st_mode & S_IFMT))
		return inode;
	/* Removed behind our back, and its number used again. */
	inode->superseded = true;
	return NULL;
}

static struct inode *add(struct inode_table *table, const struct stat *st, uint64_t mark)
{
	struct inode *inode = inode_new(st);

	if (!inode)
		return NULL;
	hash_grow(table);
	table_number(table, inode, mark);
	hash_add(table, inode);
	return inode;
}

/* What the kernel hears when it does not know the inode, and then believes. */
static void told(struct inode *inode, const struct stat *st)
{
	inode->mtime = st->st_mtim;
	__atomic_store_n(&inode->backing_size, (uint64_t)st->st_size, __ATOMIC_RELAXED);
}

static int look(int dirfd, const char *name, struct stat *st)
{
	return fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

/*
 * The kernel may have known @inode by another name, written to it and forgotten it, all
 * since @st was found, before which it had forgotten @nr_forgotten inodes. table->lock is
 * held, which it cannot do so again without.
 */
static int tell(struct inode_table *table, struct inode *inode, int dirfd,
		const char *name, uint64_t nr_forgotten, struct stat *st)
{
	int ret = 0;

	if (table->nr_forgotten != nr_forgotten)
		ret = look(dirfd, name, st);
	if (!ret && st->st_ino != inode->ino)
		ret = -ESTALE;
	if (!ret)
		told(inode, st);
	return ret;
}

int inode_get(struct fs *fs, struct inode *parent, int dirfd, const char *name,
	      struct stat *st, struct inode **out)
{
	struct inode_table *table = fs->inodes;
	uint64_t nr_forgotten = __atomic_load_n(&table->nr_forgotten, __ATOMIC_SEQ_CST);
	struct inode *inode;
	uint64_t mark;
	int ret = look(dirfd, name, st);

	if (ret)
		return ret;
	pthread_mutex_lock(&table->lock);
	inode = find_backing(table, st);
	if (!inode) {
		pthread_mutex_unlock(&table->lock);
		mark = inode_mark(dirfd, name);
		pthread_mutex_lock(&table->lock);
		inode = find_backing(table, st);
		if (!inode)
			inode = add(table, st, mark);
	}
	if (inode == table->root)
		ret = -EIO;
	else
		ret = inode ? link_remember(inode, parent, name) : -ENOMEM;
	if (!ret && !inode->nr_lookups)
		ret = tell(table, inode, dirfd, name, nr_forgotten, st);
	if (!ret) {
		inode->nr_lookups++;
		*out = inode;
	} else if (inode) {
		free_chain(bury(table, inode));
	}
	pthread_mutex_unlock(&table->lock);
	return ret;
}

int inode_get_nameless(struct fs *fs, const struct stat *st, int fd, struct inode **out)
{
	struct inode_table *table = fs->inodes;
	struct inode *inode, *stale;
	uint64_t mark = inode_mark(fd, "");
	int pin_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (pin_fd < 0)
		return -errno;
	pthread_mutex_lock(&table->lock);
	/* Removed behind our back, and its number used again. */
	stale = find(table, st->st_dev, st->st_ino);
	if (stale)
		stale->superseded = true;
	inode = add(table, st, mark);
	if (inode) {
		inode->pin_fd = pin_fd;
		inode->nr_lookups = 1;
		told(inode, st);
	}
	pthread_mutex_unlock(&table->lock);
	if (!inode)
		close(pin_fd);
	*out = inode;
	return inode ? 0 : -ENOMEM;
}

void inode_forget(struct fs *fs, struct inode *inode, uint64_t nr)
{
	struct inode *dead;

	pthread_mutex_lock(&fs->inodes->lock);
	inode->nr_lookups -= nr < inode->nr_lookups ? nr : inode->nr_lookups;
	if (!inode->nr_lookups)
		__atomic_add_fetch(&fs->inodes->nr_forgotten, 1, __ATOMIC_SEQ_CST);
	dead = bury(fs->inodes, inode);
	pthread_mutex_unlock(&fs->inodes->lock);
	free_and_trim(fs, dead);
}

void inode_set_mtime(struct fs *fs, struct inode *inode, const struct timespec *mtime)
{
	pthread_mutex_lock(&fs->inodes->lock);
	inode->mtime = *mtime;
	pthread_mutex_unlock(&fs->inodes->lock);
}

struct timespec inode_mtime(struct fs *fs, struct inode *inode)
{
	struct timespec mtime;

	pthread_mutex_lock(&fs->inodes->lock);
	mtime = inode->mtime;
	pthread_mutex_unlock(&fs->inodes->lock);
	return mtime;
}

void inode_hold(struct fs *fs, struct inode *inode)
{
	pthread_mutex_lock(&fs->inodes->lock);
	inode->nr_refs++;
	pthread_mutex_unlock(&fs->inodes->lock);
}

void inode_release(struct fs *fs, struct inode *inode)
{
	struct inode *dead;

	pthread_mutex_lock(&fs->inodes->lock);
	inode->nr_refs--;
	dead = bury(fs->inodes, inode);
	pthread_mutex_unlock(&fs->inodes->lock);
	free_and_trim(fs, dead);
}

void inode_set_file(struct fs *fs, struct inode *inode, struct file *file)
{
	pthread_mutex_lock(&fs->inodes->lock);
	inode->file = file;
	pthread_mutex_unlock(&fs->inodes->lock);
}

int inode_dup_open(struct fs *fs, struct inode *inode)
{
	int fd = -1;

	pthread_mutex_lock(&fs->inodes->lock);
	if (S_ISREG(inode->type) && inode->file)
		fd = inode->file->fd;
	else if (S_ISDIR(inode->type))
		fd = inode->dir.fd;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		fd = errno == EBADF ? -ESTALE : -errno;
	pthread_mutex_unlock(&fs->inodes->lock);
	return fd;
}

int inode_all(struct fs *fs, mode_t type, struct inode ***out, size_t *nr)
{
	struct inode_table *table = fs->inodes;

	*nr = 0;
	pthread_mutex_lock(&table->lock);
	*out = calloc(table->nr_hashed, sizeof(**out));
	for (size_t i = 0; *out && i < table->nr_buckets; i++) {
		for (struct inode *inode = table->buckets[i]; inode;
		     inode = inode->hash_next) {
			if (inode->type != type)
				continue;
			inode->nr_refs++;
			(*out)[(*nr)++] = inode;
		}
	}
	pthread_mutex_unlock(&table->lock);
	return *out ? 0 : -ENOMEM;
}

struct inode *inode_find(struct fs *fs, const struct stat *st)
{
	struct inode *inode;

	pthread_mutex_lock(&fs->inodes->lock);
	inode = find(fs->inodes, st->st_dev, st->st_ino);
	if (inode)
		inode->nr_refs++;
	pthread_mutex_unlock(&fs->inodes->lock);
	return inode;
}
