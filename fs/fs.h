/* SPDX-License-Identifier: Apache-2.0 */
/* One mounted volume. */
#ifndef FS_FS_H
#define FS_FS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct fuse_session;
struct inode_table;
struct link;
struct names;

/* What the kernel keeps of files' data. */
enum fs_cache {
	FS_CACHE_WRITEBACK,    /* it holds writes back: sizes and times are its own */
	FS_CACHE_WRITETHROUGH, /* what is read and written, but it writes at once */
	FS_CACHE_NONE,
};

enum { FS_POLL_DEFAULT = -1 };

struct fs {
	int root_fd; /* backing directory, O_PATH */
	bool read_only;
	bool shared; /* -o sharedstorage: others change the volume meanwhile */
	bool acl;    /* -o acl */
	bool gives;  /* the kernel may be given content that it did not ask for */
	enum fs_cache cache;
	int poll_us;	  /* -o poll: 0 is off */
	unsigned workers; /* -o workers: so many receive at once */
	bool unsettled; /* not closed cleanly, and not settled since: ends are in doubt */
	bool unrestored;  /* a file could not be given back its end; atomic */
	bool give_away;	  /* we are root: new inodes belong to their maker */
	bool cannot_peek; /* the store does not know RWF_NOWAIT; atomic */
	/* then it is forgotten that a read of such a store took long, or had the worker
	 * sleep meanwhile; atomic */
	uint64_t long_until_ns, slow_until_ns;
	pthread_rwlock_t tree; /* see fs/inode.h */
	unsigned nr_moves;     /* renames and links so far; atomic */
	struct inode_table *inodes;
	struct names *names;
	struct link *link;
	struct fuse_session *session; /* for the FUSE adapters */
};

#endif
