/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing directories. The backing directory's offsets are ours; what one getdents()
 * gives is opened in one HSM batch and served from memory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/dirid.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/names.h"
#include "fs/namespace.h"
#include "fs/ns.h"
#include "fs/worker.h"
#include "hsm/api/ring.h"
#include "hsm/api/secmem.h"

enum {
	RAW_BYTES = 32768,
	ITEMS_MAX = RING_MAX_ITEMS,
	SEALED_RECORD_MIN = 40, /* dirent64 of our shortest name is longer: 19 + 23 + 1 */
};

_Static_assert(RAW_BYTES / SEALED_RECORD_MIN <= ITEMS_MAX, "one buffer is one batch");

/* An entry of the batch; the strings of "." and ".." are not allocated. */
struct item {
	char *name;	     /* plain */
	const char *backing; /* in raw */
	uint64_t ino;
	uint64_t begin; /* the offset at which a reader finds it */
	uint64_t end;	/* where the entry behind it begins */
	unsigned char type;
	bool dots;
};

struct ns_dir {
	struct inode *inode; /* held */
	int fd;		     /* O_RDONLY, its offset is ours */
	bool borrowed;	     /* the inode's own, by which it can be reached meanwhile */
	struct item items[ITEMS_MAX];
	size_t nr, next;  /* next: the item that a sequential reader wants */
	uint64_t raw_end; /* where the backing directory goes on behind the batch */
	_Alignas(struct dirent64) char raw[RAW_BYTES];
};

/* What names_open() gets, for those items that are not dots. */
struct opening {
	const char *backing[ITEMS_MAX];
	const char *full[ITEMS_MAX];
	char *plain[ITEMS_MAX];
	size_t nr;
};

static void drop_batch(struct ns_dir *dir)
{
	for (size_t i = 0; i < dir->nr; i++) {
		if (dir->items[i].dots || !dir->items[i].name)
			continue;
		secmem_wipe(dir->items[i].name, strlen(dir->items[i].name));
		free(dir->items[i].name);
	}
	dir->nr = 0;
	dir->next = 0;
}

/* Who has it open may use it, whatever becomes of the directories above. */
static bool keep_at_hand(struct fs *fs, struct inode *inode)
{
	bool borrowed;

	pthread_rwlock_rdlock(&fs->tree);
	borrowed = inode_borrow(fs, inode) >= 0;
	pthread_rwlock_unlock(&fs->tree);
	return borrowed;
}

int ns_opendir(struct worker *w, struct inode *inode, struct ns_dir **out)
{
	struct ns_dir *dir;
	int fd;

	if (!S_ISDIR(inode->type))
		return -ENOTDIR;
	fd = inode_open_backing(worker_fs(w), inode, O_RDONLY | O_DIRECTORY | O_NOATIME);
	/* O_NOATIME is for owners only */
	if (fd == -EPERM)
		fd = inode_open_backing(worker_fs(w), inode, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	dir = malloc(sizeof(*dir)); /* most of it is never touched */
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	dir->fd = fd;
	dir->inode = inode;
	dir->nr = dir->next = 0;
	dir->raw_end = 0;
	inode_hold(worker_fs(w), inode);
	dir->borrowed = keep_at_hand(worker_fs(w), inode);
	*out = dir;
	return 0;
}

void ns_closedir(struct worker *w, struct ns_dir *dir)
{
	drop_batch(dir);
	close(dir->fd);
	if (dir->borrowed)
		inode_return(worker_fs(w), dir->inode);
	inode_release(worker_fs(w), dir->inode);
	free(dir);
}

void ns_dir_forget(struct ns_dir *dir)
{
	drop_batch(dir);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Takes the entries that may be shown out of @len bytes of raw ones. */
static void parse(struct fs *fs, struct ns_dir *dir, size_t len, bool *aliens)
{
	for (size_t at = 0; at < len && dir->nr < ITEMS_MAX;) {
		struct dirent64 *raw = (struct dirent64 *)(dir->raw + at);
		struct item *item = &dir->items[dir->nr];
		enum name_kind kind = name_classify(raw->d_name);

		at += raw->d_reclen;
		dir->raw_end = (uint64_t)raw->d_off;
		*item = (struct item){
			.backing = raw->d_name,
			.ino = inode_shown(fs, dir->inode, raw->d_ino),
			.end = (uint64_t)raw->d_off,
			.type = raw->d_type,
			.dots = is_dots(raw->d_name),
		};
		if (item->dots) {
			item->name = raw->d_name;
			/* What is above the root is none of ours. */
			if (dir->inode == inode_root(fs))
				item->ino = dir->inode->ino;
		} else if (kind == NAME_ALIEN) {
			*aliens = true;
			continue;
		} else if (kind == NAME_OURS) {
			continue;
		}
		dir->nr++;
	}
}

/* The texts of long names. A missing one is a damaged entry, not an error. */
static int read_sides(struct ns_dir *dir, struct opening *o)
{
	for (size_t i = 0; i < o->nr; i++) {
		char side[64], text[NAME_TEXT_MAX + 1];
		ssize_t len;

		if (name_side(o->backing[i], side))
			continue;
		len = readlinkat(dir->fd, side, text, sizeof(text));
		if (len < 0 || len == sizeof(text))
			continue;
		o->full[i] = strndup(text, (size_t)len);
		if (!o->full[i])
			return -ENOMEM;
	}
	return 0;
}

/* Gives the items their plain names and drops those that have none. */
static void take_names(struct ns_dir *dir, struct opening *o)
{
	size_t kept = 0, at = 0;

	for (size_t i = 0; i < dir->nr; i++) {
		struct item item = dir->items[i];

		if (!item.dots)
			item.name = o->plain[at++];
		if (item.name)
			dir->items[kept++] = item;
	}
	dir->nr = kept;
}

static int open_names(struct worker *w, struct ns_dir *dir, bool *damaged)
{
	struct opening *o = malloc(sizeof(*o));
	uint8_t id[PAGE_ID_BYTES];
	size_t before = dir->nr;
	int ret = 0;

	if (!o)
		return -ENOMEM;
	o->nr = 0;
	for (size_t i = 0; i < dir->nr; i++) {
		if (dir->items[i].dots)
			continue;
		o->full[o->nr] = NULL;
		o->backing[o->nr++] = dir->items[i].backing;
	}
	if (o->nr)
		ret = dirid_get(w, dir->inode, id);
	if (ret == -ENOENT)
		ret = -EIO; /* children, but no id: it was removed */
	if (!ret)
		ret = read_sides(dir, o);
	if (!ret && o->nr)
		ret = names_open(w, id, o->backing, o->full, o->nr, o->plain);
	if (!ret) {
		take_names(dir, o);
		*damaged = *damaged || dir->nr < before;
	}
	for (size_t i = 0; i < o->nr; i++)
		free((char *)o->full[i]);
	free(o);
	return ret;
}

static void warn_once(struct inode *inode)
{
	if (!__atomic_exchange_n(&inode->dir.warned, true, __ATOMIC_RELAXED))
		log_warn("directory %llu of the volume: entries that do not verify are "
			 "not shown",
			 (unsigned long long)inode->ino);
}

/*
 * Reads the batch behind backing offset @from; its first entry is what a reader gets who
 * asks for @offset. 1, 0 at the end, -errno.
 */
static int load(struct worker *w, struct ns_dir *dir, uint64_t from, uint64_t offset)
{
	bool damaged = false;
	ssize_t len;
	int ret;

	drop_batch(dir);
	if (lseek(dir->fd, (off_t)from, SEEK_SET) < 0)
		return -errno;
	do {
		len = getdents64(dir->fd, dir->raw, sizeof(dir->raw));
		if (len <= 0)
			return len < 0 ? -errno : 0;
		parse(worker_fs(w), dir, (size_t)len, &damaged);
		ret = open_names(w, dir, &damaged);
		if (ret) {
			dir->nr = 0;
			return ret;
		}
		if (damaged)
			warn_once(dir->inode);
	} while (!dir->nr);
	for (size_t i = 0; i < dir->nr; i++)
		dir->items[i].begin = i ? dir->items[i - 1].end : offset;
	return 1;
}

/* The item of the batch that begins at @offset, or NULL. */
static struct item *find_item(struct ns_dir *dir, uint64_t offset)
{
	for (size_t tried = 0; tried < dir->nr; tried++) {
		size_t i = (dir->next + tried) % dir->nr;

		if (dir->items[i].begin == offset) {
			dir->next = i + 1;
			return &dir->items[i];
		}
	}
	return NULL;
}

int ns_readdir(struct worker *w, struct ns_dir *dir, uint64_t offset,
	       struct ns_dirent *out)
{
	struct item *item = offset ? find_item(dir, offset) : NULL;
	uint64_t from = offset;
	int ret;

	if (!item) {
		/* Entries that are not shown may stand between the last one and the next
		 * batch. */
		if (offset && dir->nr && dir->items[dir->nr - 1].end == offset)
			from = dir->raw_end;
		ret = load(w, dir, from, offset);
		if (ret <= 0)
			return ret;
		item = &dir->items[0];
		dir->next = 1;
	}
	*out = (struct ns_dirent){
		.name = item->name,
		.ino = item->ino,
		.type = item->type,
		.offset = item->end,
		.backing = item->backing,
	};
	return 1;
}

int ns_dirent_lookup(struct worker *w, struct ns_dir *dir, const struct ns_dirent *entry,
		     struct ns_entry *out)
{
	struct fs *fs = worker_fs(w);
	int ret, fd;

	pthread_rwlock_rdlock(&fs->tree);
	fd = inode_borrow(fs, dir->inode);
	if (fd >= 0) {
		ret = ns_entry_at(fs, dir->inode, fd, entry->backing, out);
		inode_return(fs, dir->inode);
	} else {
		ret = fd;
	}
	pthread_rwlock_unlock(&fs->tree);
	return ret;
}
