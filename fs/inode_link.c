/* SPDX-License-Identifier: Apache-2.0 */
/* The known names of inodes (fs/inode.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/inode_table.h"

/* Where the link (@parent, @name) hangs in @inode's list, or NULL. */
static struct inode_link **find_link(struct inode *inode, const struct inode *parent,
				     const char *name)
{
	for (struct inode_link **at = &inode->links; *at; at = &(*at)->next) {
		if ((*at)->parent == parent && !strcmp((*at)->name, name))
			return at;
	}
	return NULL;
}

struct inode_link *inode_link_create(const char *name)
{
	size_t size = strlen(name) + 1;
	struct inode_link *link = calloc(1, sizeof(*link) + size);

	if (link)
		memcpy(link->name, name, size);
	return link;
}

static void link_add(struct inode *inode, struct inode *parent, struct inode_link *link)
{
	link->parent = parent;
	link->next = inode->links;
	inode->links = link;
	parent->nr_refs++;
}

/* Returns what inode_link_create() gave; the parent's reference is still counted. */
static struct inode_link *link_remove(struct inode *inode, const struct inode *parent,
				      const char *name)
{
	struct inode_link **at = find_link(inode, parent, name), *link;

	if (!at)
		return NULL;
	link = *at;
	*at = link->next;
	return link;
}

/* The name that was seen last comes first: after changes behind our back it is right. */
int link_remember(struct inode *inode, struct inode *parent, const char *name)
{
	struct inode_link **at = find_link(inode, parent, name);
	struct inode_link *link;

	if (at) {
		link = *at;
		*at = link->next;
		link->next = inode->links;
		inode->links = link;
		return 0;
	}
	link = inode_link_create(name);
	if (!link)
		return -ENOMEM;
	link_add(inode, parent, link);
	return 0;
}

static uint32_t next_mark(struct inode_table *table)
{
	if (!++table->last_mark)
		table->last_mark = 1;
	return table->last_mark;
}

void inode_move(struct fs *fs, struct inode *inode, struct inode *dir, const char *name,
		struct inode *to, struct inode_link *link)
{
	struct inode_table *table = fs->inodes;
	struct inode_link *old;

	if (!inode) {
		free(link);
		return;
	}
	pthread_mutex_lock(&table->lock);
	old = link_remove(inode, dir, name);
	if (find_link(inode, to, link->name)) {
		free(link);
	} else {
		link->unsynced = next_mark(table);
		link_add(inode, to, link);
	}
	pthread_mutex_unlock(&table->lock);
	if (old)
		inode_release(fs, dir);
	free(old);
}

/*
 * Whether @inode lives on without its name @name in @dir, and nothing else leads to it:
 * an open regular file has its descriptor.
 */
static bool must_pin(struct inode *inode, struct inode *dir, const char *name,
		     const struct stat *st)
{
	struct inode_link *link = inode->links;

	if (inode->pin_fd >= 0)
		return false;
	for (; link; link = link->next) {
		if (link->parent != dir || strcmp(link->name, name))
			return false;
	}
	if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
		return st->st_nlink > 1;
	return true;
}

int inode_pin(struct fs *fs, struct inode *inode, struct inode *dir, int dirfd,
	      const char *name, const struct stat *st, bool replaced)
{
	struct inode_table *table = fs->inodes;
	bool needed, wanted;
	int fd;

	pthread_mutex_lock(&table->lock);
	needed = must_pin(inode, dir, name, st);
	wanted = needed || (replaced && inode->pin_fd < 0 && st->st_nlink <= 1);
	pthread_mutex_unlock(&table->lock);
	if (!wanted)
		return 0;
	fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return needed ? -errno : 0;
	pthread_mutex_lock(&table->lock);
	inode->pin_fd = fd;
	pthread_mutex_unlock(&table->lock);
	return 0;
}

void inode_unpin(struct fs *fs, struct inode *inode)
{
	int fd;

	pthread_mutex_lock(&fs->inodes->lock);
	fd = inode->links ? inode->pin_fd : -1;
	if (fd >= 0)
		inode->pin_fd = -1;
	pthread_mutex_unlock(&fs->inodes->lock);
	if (fd >= 0)
		close(fd);
}

/*
 * The kernel asks for a removed inode's attributes and writes its times until it forgets
 * it. A descriptor for that would keep an NFS server from removing the file.
 */
static void keep_attributes(struct inode *inode, const struct stat *st)
{
	inode->gone = malloc(sizeof(*st));
	if (!inode->gone)
		return;
	*inode->gone = *st;
	inode->gone->st_nlink = 0;
	inode_plain(inode->gone);
}

void inode_removed(struct fs *fs, struct inode *inode, struct inode *dir,
		   const char *name, const struct stat *st)
{
	struct inode_link *link;

	pthread_mutex_lock(&fs->inodes->lock);
	link = link_remove(inode, dir, name);
	/* The number of a backing inode that is gone may come back for another one. */
	if (S_ISDIR(st->st_mode) || st->st_nlink <= 1) {
		inode->superseded = true;
		if (inode->pin_fd < 0 && !inode->gone)
			keep_attributes(inode, st);
	}
	pthread_mutex_unlock(&fs->inodes->lock);
	if (link)
		inode_release(fs, dir);
	free(link);
}

void inode_unsynced(struct fs *fs, struct inode *inode, struct inode *dir,
		    const char *name)
{
	struct inode_link **link;

	pthread_mutex_lock(&fs->inodes->lock);
	link = find_link(inode, dir, name);
	if (link)
		(*link)->unsynced = next_mark(fs->inodes);
	pthread_mutex_unlock(&fs->inodes->lock);
}

struct inode *inode_next_unsynced(struct fs *fs, struct inode *inode, uint32_t *mark)
{
	struct inode *dir = NULL;

	pthread_mutex_lock(&fs->inodes->lock);
	for (struct inode_link *link = inode->links; link; link = link->next) {
		if (!link->unsynced)
			continue;
		*mark = link->unsynced;
		dir = link->parent;
		dir->nr_refs++;
		break;
	}
	pthread_mutex_unlock(&fs->inodes->lock);
	return dir;
}

void inode_synced(struct fs *fs, struct inode *inode, uint32_t mark)
{
	pthread_mutex_lock(&fs->inodes->lock);
	for (struct inode_link *link = inode->links; link; link = link->next) {
		if (link->unsynced == mark)
			link->unsynced = 0;
	}
	pthread_mutex_unlock(&fs->inodes->lock);
}
