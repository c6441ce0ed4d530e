/* SPDX-License-Identifier: Apache-2.0 */
/* What fs/inode.c (the table), fs/inode_link.c and fs/place.c (descriptors) share. */
#ifndef FS_INODE_TABLE_H
#define FS_INODE_TABLE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct inode;

struct inode_table {
	pthread_mutex_t lock; /* guards everything here */
	struct inode **buckets;
	size_t nr_buckets; /* a power of two */
	size_t nr_hashed;
	struct inode *all; /* every inode, hashed or not, but the root */
	struct inode *root;
	uint32_t last_mark; /* of inode_link.unsynced */

	struct inode *lru_first, *lru_last; /* directories with a cached descriptor */
	unsigned nr_fds;
	unsigned max_fds;
};

/* Takes @inode out of the hash, if it is there; table->lock is held. */
void table_unhash(struct inode_table *table, struct inode *inode);

/* Adds the name, or makes it the newest. table->lock is held. 0 or -ENOMEM. */
int link_remember(struct inode *inode, struct inode *parent, const char *name);

/* Sizes the descriptor cache by RLIMIT_NOFILE. */
void place_cache_init(struct inode_table *table);

/* Takes a directory's descriptor out of the cache; table->lock is held. */
void place_uncache(struct inode_table *table, struct inode *dir);

#endif
