/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inodes the kernel knows, and where their backing files are.
 *
 * An inode has no file descriptor of its own: it is reached as a name in its parent's
 * directory, whose O_PATH descriptor comes from a bounded cache. So a million known
 * inodes need no million descriptors. An inode whose last known name is removed while its
 * backing lives on (other hard links, a directory somebody stands in) is pinned by an
 * O_PATH descriptor; an open file without a name is reached through its own descriptor.
 *
 * Locks, in the order they are taken: tree (fs->tree: parents and names of every inode;
 * read to resolve, write to rename or remove), inode->lock (directory id, file state),
 * table->lock (hash, reference counts, descriptor cache). The tree is not recursive: who
 * holds it or an inode->lock must not call inode_enter(), inode_stat() or
 * inode_open_backing().
 */
#ifndef FS_INODE_H
#define FS_INODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/file.h"
#include "hsm/api/page.h"

struct fs;
struct inode_table;
struct inode;

/*
 * A known name of an inode. Links are added under table->lock with the tree held in any
 * way, removed only with the tree held for writing.
 */
struct inode_link {
	struct inode_link *next;
	struct inode *parent; /* referenced */
	uint32_t unsynced;    /* not 0: the entry may not have reached the disk yet */
	char name[];	      /* backing name in parent */
};

struct inode_dir {
	int fd;		/* O_PATH, or -1 when not cached */
	unsigned users; /* borrowers of fd */
	bool has_id;
	bool warned; /* that it is damaged; atomic */
	uint8_t id[PAGE_ID_BYTES];
	struct inode *lru_prev, *lru_next;
};

enum {
	INODE_REDATE = 1, /* written back: the kernel knows when better */
	INODE_GIVEN = 2,  /* the kernel has been given the content, or has made it */
};

struct inode {
	struct inode *hash_next;
	struct inode_link *links; /* newest first; none for the root and removed inodes */
	ino_t ino;		/* of the backing inode: with dev, the key of the table */
	uint64_t id;		/* the kernel's number for it, fs/inode_id.c */
	uint64_t nr_lookups;	/* the kernel's references */
	uint32_t nr_refs;	/* ours: children, operations in progress, open files */
	uint32_t dev;		/* Linux' are not longer */
	uint32_t generation;	/* that goes with the id into file handles */
	uint32_t durable_pages; /* of the file while it is closed; UINT32_MAX: all */
	int pin_fd;		/* O_PATH, or -1 */
	uint16_t type;		/* S_IFMT bits */
	bool superseded;	/* the backing number may be another inode's by now */
	uint8_t marks;		/* INODE_*; atomic */
	struct stat *gone;	/* last attributes, once the last name was removed */
	/* of the backing file, while it is closed: as the kernel takes it to be; atomic
	 */
	uint64_t backing_size;
	/* what the kernel, whose writeback cache decides, takes mtime for; table->lock */
	struct timespec mtime;

	pthread_mutex_t lock;
	/* there may be a million inodes: what is behind here is only as large as needed
	 */
	union {
		/*
		 * Of regular files, while open; set under the lock and table->lock, so
		 * that who has neither opened the file must hold one of them.
		 */
		struct file *file;
		struct inode_dir dir; /* of directories */
	};
};

/* Where an inode is right now: the *at() calls take (dirfd, name). */
struct inode_place {
	struct inode *dir; /* whose descriptor is borrowed; put back by inode_leave() */
	int dirfd;
	const char *name;
	char proc[32]; /* /proc/self/fd/N of a pinned inode: follow the link then */
	bool pinned;
};

/* Table with the root inode (backing directory @root_fd, duplicated). 0 or -errno. */
int inode_table_create(struct fs *fs, int root_fd, struct inode_table **out);
void inode_table_destroy(struct inode_table *table);

struct inode *inode_root(struct fs *fs);

/*
 * The inode, with its backing's attributes, that is @name in @parent, whose descriptor is
 * @dirfd, made if it is new; one lookup reference more. Remembers the name. The tree is
 * held. -ENOENT, -ENOMEM, -EIO (the root inside itself), -ESTALE (changed behind our back
 * meanwhile)...
 */
int inode_get(struct fs *fs, struct inode *parent, int dirfd, const char *name,
	      struct stat *st, struct inode **out);

/*
 * The inode for backing (@st), just made without a name, that @fd (copied) leads to; one
 * lookup reference. It is pinned, so it and its number last until it is forgotten.
 * -ENOMEM, -EMFILE.
 */
int inode_get_nameless(struct fs *fs, const struct stat *st, int fd, struct inode **out);

/* Drops @nr lookup references (FUSE FORGET). */
void inode_forget(struct fs *fs, struct inode *inode, uint64_t nr);

/* --- numbers (fs/inode_id.c) --- */

/* The inode that the kernel knows as @id, which it has not forgotten. NULL: there is
 * none.
 */
struct inode *inode_by_id(struct fs *fs, uint64_t id);

/* The same for a number that may be forgotten; one lookup reference more. */
struct inode *inode_look_again(struct fs *fs, uint64_t id);

/* The directory of @inode's newest name, one lookup reference more; NULL: no name. */
struct inode *inode_parent(struct fs *fs, struct inode *inode);

/*
 * What tells (@dirfd, @name; "": @dirfd itself) from every inode that had or will have
 * its number in the backing store. 0 when the store does not say.
 */
uint64_t inode_mark(int dirfd, const char *name);

/* The id of a backing inode with that mark, unless another one has it at the time. */
uint64_t inode_lasting_id(ino_t ino, uint64_t mark);

/* Whether @id means the same once it has been forgotten. */
bool inode_id_lasts(uint64_t id);

/* Whether @id may be the number of backing inode @ino. */
bool inode_id_may_be(uint64_t id, ino_t ino);

/*
 * The inode number that applications see for number @ino of the backing store that @inode
 * is on: the same, but that of another store, mounted inside the volume's directory,
 * would be taken for a hard link of ours.
 */
ino_t inode_shown(struct fs *fs, const struct inode *inode, ino_t ino);

/* A reference of ours, so that a forget meanwhile does not free it. */
void inode_hold(struct fs *fs, struct inode *inode);
void inode_release(struct fs *fs, struct inode *inode);

/*
 * Resolves @inode and holds the tree for reading until inode_leave(). -ESTALE when its
 * backing is not where it was (changed behind our back), -EMFILE, -ENOMEM...
 * Between enter and leave no other inode may be entered.
 */
int inode_enter(struct fs *fs, struct inode *inode, struct inode_place *place);
void inode_leave(struct fs *fs, struct inode_place *place);

/* The same for a caller that holds the tree itself. */
int inode_locate(struct fs *fs, struct inode *inode, struct inode_place *place);
void inode_unlocate(struct fs *fs, struct inode_place *place);

/*
 * The O_PATH descriptor of a directory, valid until inode_return(); the tree is held.
 * -ESTALE, -EMFILE...
 */
int inode_borrow(struct fs *fs, struct inode *dir);
void inode_return(struct fs *fs, struct inode *dir);

/* Turns a backing inode's attributes into plain ones (st_size, st_blksize). */
void inode_plain(struct stat *st);

/*
 * fstatat() of @inode with st_size in plain bytes; of a removed one that nothing leads to
 * any more, what it was. 0 or -errno.
 */
int inode_stat(struct fs *fs, struct inode *inode, struct stat *st);

/* The kernel was told, or told us, that this is @inode's mtime. */
void inode_set_mtime(struct fs *fs, struct inode *inode, const struct timespec *mtime);
struct timespec inode_mtime(struct fs *fs, struct inode *inode);

/* Whether @inode was removed for good, and only its last attributes are left. */
bool inode_is_gone(struct fs *fs, struct inode *inode);

/* Makes @file (NULL: it is closed) the open file of @inode, whose lock is held. */
void inode_set_file(struct fs *fs, struct inode *inode, struct file *file);

/*
 * A copy of the descriptor of an open file, or of a directory that is open or in use
 * (O_PATH); -ESTALE when it is not, -EMFILE...
 */
int inode_dup_open(struct fs *fs, struct inode *inode);

/* Opens the backing inode with @flags (never O_CREAT). A descriptor or -errno. */
int inode_open_backing(struct fs *fs, struct inode *inode, int flags);

/*
 * All known inodes of that type (S_IFMT bits), held: the caller releases each, and frees
 * the array. Those that come up meanwhile may be missing. 0 or -ENOMEM.
 */
int inode_all(struct fs *fs, mode_t type, struct inode ***out, size_t *nr);

/* --- for those who change the tree, which they hold for writing --- */

/* The known inode of backing (@st), held, or NULL. */
struct inode *inode_find(struct fs *fs, const struct stat *st);

/* A link for inode_move(), made before there is no way back. NULL when out of memory. */
struct inode_link *inode_link_create(const char *name);

/*
 * @inode (NULL: not known) lost its @name in @dir and gained @link, which is consumed, in
 * @to.
 */
void inode_move(struct fs *fs, struct inode *inode, struct inode *dir, const char *name,
		struct inode *to, struct inode_link *link);

/*
 * Call before (@dirfd, @name), a backing name of @inode in @dir with attributes @st, is
 * removed: pins the inode if it must outlive the name, and, if something else gets the
 * name (@replaced), until the kernel forgets it: whoever has looked the name up opens
 * what was there, or would get ESTALE from a name that is always there. inode_unpin()
 * takes it back when the removal failed. 0 or openat()'s error.
 */
int inode_pin(struct fs *fs, struct inode *inode, struct inode *dir, int dirfd,
	      const char *name, const struct stat *st, bool replaced);
void inode_unpin(struct fs *fs, struct inode *inode);

/* @name of @inode in @dir is gone; @st as it was before. */
void inode_removed(struct fs *fs, struct inode *inode, struct inode *dir,
		   const char *name, const struct stat *st);

/* --- durability of entries (fs/sync.c) --- */

/* Notes that @name of @inode in @dir is new; the tree is held. */
void inode_unsynced(struct fs *fs, struct inode *inode, struct inode *dir,
		    const char *name);

/*
 * A directory, held, in which a name of @inode may not be durable yet (@mark: for
 * inode_synced()), or NULL.
 */
struct inode *inode_next_unsynced(struct fs *fs, struct inode *inode, uint32_t *mark);

/* What @mark stands for is durable now, unless it became new again since. */
void inode_synced(struct fs *fs, struct inode *inode, uint32_t mark);

#endif
