/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory operations on plain names; knows nothing of FUSE. All take the calling worker
 * (its queue seals names) and return 0 or -errno as the system call of the same name
 * would; -EINTR when the caller was interrupted while the volume is suspended.
 */
#ifndef FS_NAMESPACE_H
#define FS_NAMESPACE_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct worker;
struct inode;

/* Who asks: new inodes belong to it when the daemon may give them away (root). */
struct ns_caller {
	uid_t uid;
	gid_t gid;
	mode_t umask; /* where ACLs are on: whether it counts depends on the directory */
};

/* An inode with one more lookup reference, and its attributes. */
struct ns_entry {
	struct inode *inode;
	struct stat attr; /* st_size is the plain one */
};

int ns_lookup(struct worker *w, struct inode *dir, const char *name,
	      struct ns_entry *out);
/*
 * The inode that the kernel knew, or knows, by that number (a file handle's). -ESTALE
 * when there is none any more. May take as long as listing the whole volume.
 */
int ns_lookup_id(struct worker *w, uint64_t id, struct ns_entry *out);
/* The directory that @dir is in. -ESTALE when it was removed. */
int ns_lookup_parent(struct worker *w, struct inode *dir, struct ns_entry *out);
int ns_mkdir(struct worker *w, struct inode *dir, const char *name, mode_t mode,
	     const struct ns_caller *caller, struct ns_entry *out);
int ns_mknod(struct worker *w, struct inode *dir, const char *name, mode_t mode,
	     dev_t rdev, const struct ns_caller *caller, struct ns_entry *out);
/* A target longer than NAME_TARGET_MAX (3,039 bytes) is -ENAMETOOLONG. */
int ns_symlink(struct worker *w, struct inode *dir, const char *name, const char *target,
	       const struct ns_caller *caller, struct ns_entry *out);
int ns_link(struct worker *w, struct inode *inode, struct inode *dir, const char *name,
	    struct ns_entry *out);
int ns_unlink(struct worker *w, struct inode *dir, const char *name);
int ns_rmdir(struct worker *w, struct inode *dir, const char *name);

/* @flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE; others -EINVAL. */
int ns_rename(struct worker *w, struct inode *from_dir, const char *from,
	      struct inode *to_dir, const char *to, unsigned flags);

/*
 * Creates and opens a regular file; file_close() ends it (@flags as open(2)'s: O_EXCL,
 * O_TRUNC... honoured). The backing descriptor (O_RDWR) is given to file_open()'s caller
 * through file_adopt().
 */
int ns_create(struct worker *w, struct inode *dir, const char *name, mode_t mode,
	      int flags, const struct ns_caller *caller, struct ns_entry *out);

/*
 * Creates and opens a regular file without a name in @dir, which ns_link() may give one
 * (O_TMPFILE); file_close() ends the opening. -EOPNOTSUPP when the backing store cannot.
 */
int ns_tmpfile(struct worker *w, struct inode *dir, mode_t mode,
	       const struct ns_caller *caller, struct ns_entry *out);

/* Plain target, NUL-terminated, malloc'ed: the caller frees it. */
int ns_readlink(struct worker *w, struct inode *inode, char **target);

/* An open directory, for readdir; one thread at a time. */
struct ns_dir;

/* One entry of a listing; @name is valid until the next call on the directory. */
struct ns_dirent {
	const char *name;
	uint64_t ino;
	unsigned char type;  /* DT_* */
	uint64_t offset;     /* where the entry behind this one begins */
	const char *backing; /* for ns_dirent_lookup() */
};

int ns_opendir(struct worker *w, struct inode *inode, struct ns_dir **out);
void ns_closedir(struct worker *w, struct ns_dir *dir);

/*
 * The entry at @offset (0: the first, "." and ".." included), 1 if there is one, 0 at the
 * end, -errno. Offsets stay valid while the directory changes (telldir, seekdir).
 */
int ns_readdir(struct worker *w, struct ns_dir *dir, uint64_t offset,
	       struct ns_dirent *out);

/* Wipes the names that were read in advance; they are read again when wanted. */
void ns_dir_forget(struct ns_dir *dir);

/* For readdirplus: looks up an entry that ns_readdir() gave, without the HSM. */
int ns_dirent_lookup(struct worker *w, struct ns_dir *dir, const struct ns_dirent *entry,
		     struct ns_entry *out);

/* Makes the directory's entries durable. */
int ns_fsyncdir(struct worker *w, struct inode *dir, int datasync);

#endif
