/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers by which the kernel knows inodes. File handles (NFS, open_by_handle_at) are
 * made of them, so they should mean the same inode, or none, for as long as the volume
 * exists: a number is made of the backing inode's own number, by which it can be searched
 * for (fs/search.c), and a hash of its backing file handle, which has the generation. Two
 * inodes that the kernel knows at the same time never have the same number.
 *
 *   bit 63 passing: good only while the inode is known | 23 bits of hash | 40 of st_ino
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/inode_table.h"

enum { INO_BITS = 40 };

#ifndef AT_HANDLE_FID /* since Linux 6.5 */
#define AT_HANDLE_FID 0x200
#endif

#define INO_MASK ((UINT64_C(1) << INO_BITS) - 1)
#define TAG_MASK ((UINT64_C(1) << (63 - INO_BITS)) - 1)
#define PASSING	 (UINT64_C(1) << 63)

uint64_t inode_mark(int dirfd, const char *name)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} file = {.handle.handle_bytes = MAX_HANDLE_SZ};
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	int mount_id, flags = *name ? 0 : AT_EMPTY_PATH;

	/* overlayfs and others give handles that are only good for being compared */
	if (name_to_handle_at(dirfd, name, &file.handle, &mount_id, flags) &&
	    (errno != EOPNOTSUPP || name_to_handle_at(dirfd, name, &file.handle,
						      &mount_id, flags | AT_HANDLE_FID)))
		return 0;
	hash = (hash ^ (uint64_t)file.handle.handle_type) * UINT64_C(0x100000001b3);
	for (unsigned i = 0; i < file.handle.handle_bytes; i++)
		hash = (hash ^ file.handle.f_handle[i]) * UINT64_C(0x100000001b3);
	/* FNV's high bits depend on little of the end, where generations are */
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ (hash >> 29) ?: 1;
}

static uint64_t compose(ino_t ino, uint64_t tag)
{
	tag &= TAG_MASK;
	return (tag ? tag : 1) << INO_BITS | (ino & INO_MASK);
}

uint64_t inode_lasting_id(ino_t ino, uint64_t mark)
{
	return compose(ino, mark >> 32);
}

bool inode_id_lasts(uint64_t id)
{
	return !(id & PASSING);
}

bool inode_id_may_be(uint64_t id, ino_t ino)
{
	return (id & INO_MASK) == (ino & INO_MASK);
}

ino_t inode_shown(struct fs *fs, const struct inode *inode, ino_t ino)
{
	uint64_t store = inode->dev;

	if (inode->dev == fs->inodes->root->dev)
		return ino;
	/* to 15 bits above those that stores have in use, and never negative */
	store = (store * UINT64_C(0x9e3779b97f4a7c15)) >> 49;
	return ino ^ (store | 1) << 48;
}

uint64_t table_key(uint64_t ino_or_id)
{
	return ino_or_id & INO_MASK;
}

void table_number(struct inode_table *table, struct inode *inode, uint64_t mark)
{
	inode->generation = mark ? (uint32_t)mark : ++table->last_generation;
	inode->id = inode_lasting_id(inode->ino, mark);
	/* Where there is no search, or an inode that is gone is not forgotten yet. */
	if (!mark || inode->dev != table->root->dev)
		inode->id |= PASSING;
	while (table_find_id(table, inode->id))
		inode->id = compose(inode->ino, ++table->last_tag) | PASSING;
}

struct inode *inode_by_id(struct fs *fs, uint64_t id)
{
	struct inode *inode;

	pthread_mutex_lock(&fs->inodes->lock);
	inode = table_find_id(fs->inodes, id);
	pthread_mutex_unlock(&fs->inodes->lock);
	return inode;
}

struct inode *inode_look_again(struct fs *fs, uint64_t id)
{
	struct inode *inode;

	pthread_mutex_lock(&fs->inodes->lock);
	inode = table_find_id(fs->inodes, id);
	if (inode)
		inode->nr_lookups++;
	pthread_mutex_unlock(&fs->inodes->lock);
	return inode;
}

struct inode *inode_parent(struct fs *fs, struct inode *inode)
{
	struct inode *parent = NULL;

	pthread_mutex_lock(&fs->inodes->lock);
	if (inode->links) {
		parent = inode->links->parent;
		parent->nr_lookups++;
	}
	pthread_mutex_unlock(&fs->inodes->lock);
	return parent;
}
