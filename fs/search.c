/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding an inode by its number alone, as for a file handle whose inode the kernel has
 * forgotten. Nothing says where it is, so the backing tree is searched for it; listings
 * have the backing numbers, so that nothing but directories is opened.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/namespace.h"
#include "fs/ns.h"
#include "fs/volume/name.h"
#include "fs/worker.h"

/* Deeper than a path can lead. A tree may be, and each level takes a descriptor. */
enum { DEPTH_MAX = PATH_MAX / 2 };

struct search {
	uint64_t id;
	dev_t dev;
	char **path; /* backing names from the root to where the search is */
	size_t depth, room;
};

static int push(struct search *s, const char *name)
{
	if (s->depth == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		char **path = realloc(s->path, room * sizeof(*path));

		if (!path)
			return -ENOMEM;
		s->path = path;
		s->room = room;
	}
	s->path[s->depth] = strdup(name);
	return s->path[s->depth++] ? 0 : -ENOMEM;
}

static void pop(struct search *s)
{
	free(s->path[--s->depth]);
}

static int open_dir(int dirfd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags | O_NOATIME);

	/* O_NOATIME is for owners only */
	if (fd < 0 && errno == EPERM)
		fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

static bool is_wanted(const struct search *s, int dirfd, const char *name)
{
	struct stat st;
	uint64_t mark;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != s->dev)
		return false;
	mark = inode_mark(dirfd, name);
	return mark && inode_lasting_id(st.st_ino, mark) == s->id;
}

static int search_dir(struct search *s, int fd);

/* 1: it is this entry, or below it, and @s->path leads there. */
static int search_entry(struct search *s, int dirfd, const struct dirent *entry)
{
	int ret = push(s, entry->d_name), fd;

	if (ret)
		return ret;
	if (inode_id_may_be(s->id, entry->d_ino) && is_wanted(s, dirfd, entry->d_name))
		return 1;
	if (s->depth < DEPTH_MAX &&
	    (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)) {
		fd = open_dir(dirfd, entry->d_name);
		if (fd >= 0)
			ret = search_dir(s, fd);
		else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -EIO)
			ret = fd;
	}
	if (!ret)
		pop(s);
	return ret;
}

/* Closes @fd. */
static int search_dir(struct search *s, int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int ret = 0;

	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!ret && (errno = 0, entry = readdir(dir))) {
		enum name_kind kind = name_classify(entry->d_name);

		if (kind == NAME_SHORT || kind == NAME_LONG)
			ret = search_entry(s, fd, entry);
	}
	if (!ret && errno)
		ret = -errno;
	closedir(dir);
	return ret;
}

/* Down the path that was found; the tree is held. -ESTALE when it has changed. */
static int walk(struct fs *fs, const struct search *s, struct ns_entry *out)
{
	struct inode *dir = inode_root(fs);
	int ret = s->depth ? 0 : -ESTALE;

	for (size_t i = 0; i < s->depth && !ret; i++) {
		int fd = inode_borrow(fs, dir);

		ret = fd < 0 ? fd : ns_entry_at(fs, dir, fd, s->path[i], out);
		if (fd >= 0)
			inode_return(fs, dir);
		if (i) /* what is below refers to it from now on */
			inode_forget(fs, dir, 1);
		dir = out->inode;
		if (!ret && i + 1 < s->depth && !S_ISDIR(dir->type)) {
			inode_forget(fs, dir, 1);
			ret = -ESTALE;
		}
	}
	if (!ret && out->inode->id != s->id) {
		inode_forget(fs, out->inode, 1);
		ret = -ESTALE;
	}
	return ret == -ENOENT ? -ESTALE : ret;
}

static int search(struct fs *fs, uint64_t id, bool locked, struct ns_entry *out)
{
	struct search s = {.id = id, .dev = inode_root(fs)->dev};
	int ret = open_dir(fs->root_fd, ".");

	if (locked)
		pthread_rwlock_rdlock(&fs->tree);
	if (ret >= 0)
		ret = search_dir(&s, ret);
	if (!locked)
		pthread_rwlock_rdlock(&fs->tree);
	if (ret >= 0)
		ret = ret ? walk(fs, &s, out) : -ESTALE;
	pthread_rwlock_unlock(&fs->tree);
	while (s.depth)
		pop(&s);
	free(s.path);
	return ret;
}

int ns_lookup_id(struct worker *w, uint64_t id, struct ns_entry *out)
{
	struct fs *fs = worker_fs(w);
	unsigned nr_moves;
	int ret;

	out->inode = inode_look_again(fs, id);
	if (out->inode) {
		ret = inode_is_gone(fs, out->inode)
			      ? -ESTALE
			      : inode_stat(fs, out->inode, &out->attr);
		if (ret)
			inode_forget(fs, out->inode, 1);
		return ret;
	}
	if (!inode_id_lasts(id))
		return -ESTALE;
	ret = worker_may_block(w);
	if (ret)
		return ret;
	nr_moves = __atomic_load_n(&fs->nr_moves, __ATOMIC_SEQ_CST);
	ret = search(fs, id, false, out);
	/* what moves meanwhile may be missed, but not if nothing can move */
	if (ret == -ESTALE &&
	    nr_moves != __atomic_load_n(&fs->nr_moves, __ATOMIC_SEQ_CST))
		ret = search(fs, id, true, out);
	return ret;
}

int ns_lookup_parent(struct worker *w, struct inode *dir, struct ns_entry *out)
{
	struct fs *fs = worker_fs(w);
	int ret;

	out->inode = inode_parent(fs, dir);
	if (!out->inode)
		return -ESTALE;
	ret = inode_stat(fs, out->inode, &out->attr);
	if (ret)
		inode_forget(fs, out->inode, 1);
	return ret;
}
