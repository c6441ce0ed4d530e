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
	size_t nr_freed;       /* since memory was given back */
	uint64_t nr_forgotten; /* by the kernel; atomic */
	struct inode *root;
	uint32_t last_mark;		    /* of inode_link.unsynced */
	uint32_t last_tag, last_generation; /* of numbers that do not last */

	struct inode *lru_first, *lru_last; /* directories with a cached descriptor */
	unsigned nr_fds;
	unsigned max_fds;
};

/* What an id and the backing number it was made of have in common: the key of the hash.
 */
uint64_t table_key(uint64_t ino_or_id);

/* The inode with that number of ours, or NULL. table->lock is held. */
struct inode *table_find_id(struct inode_table *table, uint64_t id);

/* Gives @inode, not hashed yet, its id and generation. table->lock is held. */
void table_number(struct inode_table *table, struct inode *inode, uint64_t mark);

/* Adds the name, or makes it the newest. table->lock is held. 0 or -ENOMEM. */
int link_remember(struct inode *inode, struct inode *parent, const char *name);

/* Sizes the descriptor cache by RLIMIT_NOFILE. */
void place_cache_init(struct inode_table *table);

/* Takes a directory's descriptor out of the cache; table->lock is held. */
void place_uncache(struct inode_table *table, struct inode *dir);

#endif
