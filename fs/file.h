/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A regular file's content: plain byte ranges over sealed pages. Knows nothing of FUSE.
 */
#ifndef FS_FILE_H
#define FS_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/range.h"
#include "hsm/api/page.h"

struct fs;
struct inode;
struct worker;

/*
 * Of an inode, while it is open. Opening and closing are under inode->lock; id, flags and
 * sizes belong to whoever holds the page range that ends at RANGE_END (see fs/range.h),
 * and may be read by holders of any range.
 */
struct file {
	int fd;		  /* backing, shared by all opens; -1 when not open */
	bool writable;	  /* fd is O_RDWR */
	bool has_id;	  /* id and flags are those of page 0, if there is one */
	bool proven;	  /* a page other than 0 has verified under id; atomic */
	bool sparse;	  /* FILE_SPARSE, as authenticated by opening page 0 */
	unsigned nr_open; /* handles that hold fd */
	unsigned nr_lost; /* times that the store said it lost what was written; atomic */
	uint8_t id[PAGE_ID_BYTES];
	bool bad; /* its size is none, or was changed by others: can only be emptied */
	bool end_right; /* the last page has verified as the last */
	bool cut_due;	/* an end could not be given back: more is there than there should
			 */
	/* Pages before this one may hold what was made durable (fsync, an earlier mount).
	 */
	uint64_t durable_pages;
	uint64_t backing_size; /* valid while open: nobody else changes the file */
	struct range_lock pages;
	struct range giving; /* while being_given (atomic) is true: all, against others */
	bool being_given;    /* see file_may_give() */
};

void file_init(struct file *file);
void file_fini(struct file *file);

/*
 * Takes inode->lock. Who has it may be waiting for others or for a suspended volume: then
 * somebody else receives requests meanwhile.
 */
void file_lock(struct worker *w, struct inode *inode);

/* In the flags of an open: for execve(2). The kernel's __FMODE_EXEC. */
enum { FILE_OPEN_EXEC = 0x20 };

/*
 * Opens for O_RDONLY, O_WRONLY or O_RDWR (@flags; O_TRUNC is honoured); every success is
 * paired with file_close(). 0 or -errno of open(2).
 */
int file_open(struct worker *w, struct inode *inode, int flags);

/* Like file_open() with @fd, an O_RDWR descriptor of the backing file just made. Owns fd.
 */
int file_adopt(struct worker *w, struct inode *inode, int fd);

/*
 * Whether the kernel may be given the content of a file of 1 to @max bytes that has just
 * been opened, before that is answered: not if somebody else has it open, since the
 * kernel may then hold something newer, or wait for us with what it would be put into.
 * If true, nobody else's file_open() returns until file_gave(). Once for an inode: what
 * the kernel has dropped since it asks for.
 */
bool file_may_give(struct worker *w, struct inode *inode, uint32_t max);
void file_gave(struct inode *inode);

/* What was written came through the kernel's cache: its mtime is the kernel's, not now.
 */
void file_written_back(struct inode *inode);

/*
 * For a regular file, open or not: the kernel is about to have its mtime set, which
 * closing then need not do. True if it would have; then file_written_back() says that it
 * was not set after all. Neither waits for anybody.
 */
bool file_being_dated(struct inode *inode);

/* Returns close(2)'s error, if any. */
int file_close(struct worker *w, struct inode *inode);

/* At the end, when closings may not have been heard of: the times of what is open. */
void file_redate_all(struct fs *fs);

/* Whether the store that @fd lies on may have an error to report at close(2): not if it
 * is a local one. */
bool file_tells_at_close(int fd);

/*
 * The store tells a descriptor once that it lost what was written, and all openings share
 * one: file_flush() and file_fsync() tell each opening from before it. @since: what this
 * gave when it was opened.
 */
unsigned file_nr_lost(const struct inode *inode);

/* close(2) of one of the application's descriptors: reports what the backing store does.
 */
int file_flush(struct worker *w, struct inode *inode, unsigned since);

/* Plain size @size: cuts or extends (with a hole). The file need not be open. */
int file_truncate(struct worker *w, struct inode *inode, uint64_t size);

/* Makes the content durable, and the entry too if the file is new. */
int file_fsync(struct worker *w, struct inode *inode, unsigned since, bool datasync);

/* Plain size; any page range of the file is held. */
uint64_t file_size(const struct file *file);

#endif
