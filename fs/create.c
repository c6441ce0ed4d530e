/* SPDX-License-Identifier: Apache-2.0 */
/* Making entries: files, directories, special files, symlinks and links. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "fs/acl.h"
#include "fs/dirid.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/namespace.h"
#include "fs/ns.h"
#include "fs/sealer.h"
#include "fs/worker.h"

/* What is to be made. */
struct request {
	enum { MAKE_DIR, MAKE_NODE, MAKE_SYMLINK, MAKE_FILE, MAKE_LINK } what;
	mode_t mode;
	dev_t rdev;
	const char *target;   /* of a symlink, sealed */
	struct inode *linked; /* the inode that gets another name */
	const struct ns_caller *caller;
	struct acl_heritage *heritage; /* NULL for what has no mode of its own */
	int fd;			       /* MAKE_FILE: the descriptor that was opened */
};

static int make_link(struct fs *fs, struct inode *inode, int dirfd, const char *entry)
{
	struct inode_place place;
	struct stat st;
	int ret = inode_locate(fs, inode, &place);

	if (ret)
		return ret;
	ret = linkat(place.dirfd, place.name, dirfd, entry,
		     place.pinned ? AT_SYMLINK_FOLLOW : 0);
	ret = ret ? -errno : 0;
	inode_unlocate(fs, &place);
	__atomic_add_fetch(&fs->nr_moves, 1, __ATOMIC_SEQ_CST);
	if (ret || (!fstatat(dirfd, entry, &st, AT_SYMLINK_NOFOLLOW) &&
		    st.st_ino == inode->ino && st.st_dev == inode->dev))
		return ret;
	unlinkat(dirfd, entry, 0);
	return -ESTALE;
}

static int make_entry(struct fs *fs, struct request *rq, int dirfd, const char *entry)
{
	int ret = 0;

	switch (rq->what) {
	case MAKE_DIR:
		ret = mkdirat(dirfd, entry, rq->mode & 07777);
		break;
	case MAKE_NODE:
		ret = mknodat(dirfd, entry, rq->mode, rq->rdev);
		break;
	case MAKE_SYMLINK:
		ret = symlinkat(rq->target, dirfd, entry);
		break;
	case MAKE_FILE:
		rq->fd = openat(dirfd, entry,
				O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC,
				rq->mode & 07777);
		ret = rq->fd < 0 ? -1 : 0;
		break;
	case MAKE_LINK:
		return make_link(fs, rq->linked, dirfd, entry);
	}
	return ret ? -errno : 0;
}

static void unmake_entry(struct request *rq, int dirfd, const char *entry)
{
	unlinkat(dirfd, entry, rq->what == MAKE_DIR ? AT_REMOVEDIR : 0);
	if (rq->what == MAKE_FILE)
		close(rq->fd);
}

/* The new inode belongs to the caller, its group to a set-group-id directory's. */
static int give_away(struct fs *fs, const struct request *rq, int dirfd,
		     const char *entry)
{
	gid_t gid = rq->caller ? rq->caller->gid : 0;
	struct stat st;

	if (!fs->give_away || !rq->caller)
		return 0;
	/* it is: we are root, and so is the caller */
	if (!rq->caller->uid && rq->caller->gid == getegid())
		return 0;
	if (fstat(dirfd, &st))
		return -errno;
	if (st.st_mode & S_ISGID)
		gid = (gid_t)-1;
	if (fchownat(dirfd, entry, rq->caller->uid, gid, AT_SYMLINK_NOFOLLOW))
		return -errno;
	/* That took the set-id bits away. */
	if ((rq->what == MAKE_FILE || rq->what == MAKE_NODE) &&
	    (rq->mode & (S_ISUID | S_ISGID)) &&
	    fchmodat(dirfd, entry, rq->mode & 07777, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return 0;
}

static int give_acl(const struct request *rq, int dirfd, const char *entry)
{
	return rq->what == MAKE_FILE ? acl_give(rq->fd, NULL, rq->heritage)
				     : acl_give(dirfd, entry, rq->heritage);
}

/* With dir->lock held: side entry, entry and owner, or nothing. */
static int make_all(struct fs *fs, const struct ns_name *name, struct request *rq,
		    int dirfd)
{
	const char *entry = name->backing.entry;
	bool made_side;
	int ret;

	if (!dirid_is_current(name->dir, name->id, true))
		return NS_RETRY;
	ret = ns_side_make(dirfd, &name->backing, &made_side);
	if (ret)
		return ret;
	ret = make_entry(fs, rq, dirfd, entry);
	if (!ret) {
		ret = give_away(fs, rq, dirfd, entry);
		if (!ret && rq->heritage)
			ret = give_acl(rq, dirfd, entry);
		if (!ret)
			return 0;
		unmake_entry(rq, dirfd, entry);
	}
	if (made_side)
		ns_side_remove(dirfd, &name->backing);
	return ret;
}

/* With the tree held. */
static int make_in_tree(struct worker *w, const struct ns_name *name, struct request *rq,
			struct ns_entry *out)
{
	struct fs *fs = worker_fs(w);
	struct inode *dir = name->dir;
	int fd = inode_borrow(fs, dir), ret;

	if (fd < 0)
		return fd;
	pthread_mutex_lock(&dir->lock);
	ret = make_all(fs, name, rq, fd);
	pthread_mutex_unlock(&dir->lock);
	if (ret)
		goto out;
	ret = ns_entry_at(fs, dir, fd, name->backing.entry, out);
	if (ret) {
		if (rq->what == MAKE_FILE)
			close(rq->fd);
		goto out;
	}
	inode_unsynced(fs, out->inode, dir, name->backing.entry);
out:
	inode_return(fs, dir);
	return ret;
}

static int make(struct worker *w, struct inode *dir, const char *plain,
		struct request *rq, struct ns_entry *out)
{
	struct fs *fs = worker_fs(w);
	struct ns_name name;
	int ret;

	do {
		ret = ns_seal_new(w, dir, plain, &name);
		if (ret)
			return ret;
		pthread_rwlock_rdlock(&fs->tree);
		ret = make_in_tree(w, &name, rq, out);
		pthread_rwlock_unlock(&fs->tree);
	} while (ret == NS_RETRY);
	/*
	 * Without the tree, as file.c opens files. Should the name be removed meanwhile,
	 * the descriptor leads to the inode.
	 */
	if (!ret && rq->what == MAKE_FILE) {
		ret = file_adopt(w, out->inode, rq->fd);
		if (ret)
			inode_forget(fs, out->inode, 1);
	}
	return ret;
}

/* The same for what has a mode, and may have an ACL. */
static int make_with_mode(struct worker *w, struct inode *dir, const char *plain,
			  struct request *rq, struct ns_entry *out)
{
	mode_t umask = rq->caller ? rq->caller->umask : 0;
	int ret = acl_prepare(w, dir, rq->mode, umask, rq->heritage);

	if (ret)
		return ret;
	rq->mode = acl_first_mode(rq->heritage);
	return make(w, dir, plain, rq, out);
}

int ns_mkdir(struct worker *w, struct inode *dir, const char *name, mode_t mode,
	     const struct ns_caller *caller, struct ns_entry *out)
{
	struct acl_heritage heritage;
	struct request rq = {
		.what = MAKE_DIR,
		.mode = mode | S_IFDIR,
		.caller = caller,
		.heritage = &heritage,
	};

	return make_with_mode(w, dir, name, &rq, out);
}

int ns_mknod(struct worker *w, struct inode *dir, const char *name, mode_t mode,
	     dev_t rdev, const struct ns_caller *caller, struct ns_entry *out)
{
	struct acl_heritage heritage;
	struct request rq = {
		.what = MAKE_NODE,
		.mode = mode,
		.rdev = rdev,
		.caller = caller,
		.heritage = &heritage,
	};

	return make_with_mode(w, dir, name, &rq, out);
}

/* Seals @target into @text. */
static int seal_target(struct worker *w, const char *target, char text[PATH_MAX])
{
	uint8_t sealed[NAME_TARGET_MAX + RING_STRING_OVERHEAD];
	struct sealer_item item = {.in = target, .out = sealed};
	size_t len = strlen(target);
	int ret;

	if (!len)
		return -ENOENT;
	if (len > NAME_TARGET_MAX)
		return -ENAMETOOLONG;
	item.in_len = (uint32_t)len;
	ret = sealer_run(w, RING_BLOB_SEAL, SEALER_SYMLINK, &item, 1);
	if (ret)
		return ret;
	/* The length is part of the format: stat computes st_size from it. */
	if (item.status || item.out_len != len + NAME_BLOB_OVERHEAD)
		return -EIO;
	name_base64_encode(sealed, item.out_len, text);
	return 0;
}

int ns_symlink(struct worker *w, struct inode *dir, const char *name, const char *target,
	       const struct ns_caller *caller, struct ns_entry *out)
{
	char text[PATH_MAX];
	struct request rq = {.what = MAKE_SYMLINK, .target = text, .caller = caller};
	int ret = seal_target(w, target, text);

	return ret ? ret : make(w, dir, name, &rq, out);
}

int ns_link(struct worker *w, struct inode *inode, struct inode *dir, const char *name,
	    struct ns_entry *out)
{
	struct request rq = {.what = MAKE_LINK, .linked = inode};

	if (S_ISDIR(inode->type))
		return -EPERM;
	return make(w, dir, name, &rq, out);
}

/* Another process was first: an ordinary open. */
static int open_existing(struct worker *w, struct inode *dir, const char *name, int flags,
			 struct ns_entry *out)
{
	int ret = ns_lookup(w, dir, name, out);

	if (ret)
		return ret;
	if (S_ISREG(out->inode->type))
		ret = file_open(w, out->inode, flags & ~(O_CREAT | O_EXCL));
	else
		ret = S_ISDIR(out->inode->type) ? -EISDIR : -EINVAL;
	if (!ret)
		ret = inode_stat(worker_fs(w), out->inode, &out->attr);
	else
		goto forget;
	if (!ret)
		return 0;
	file_close(w, out->inode);
forget:
	inode_forget(worker_fs(w), out->inode, 1);
	return ret;
}

int ns_create(struct worker *w, struct inode *dir, const char *name, mode_t mode,
	      int flags, const struct ns_caller *caller, struct ns_entry *out)
{
	struct acl_heritage heritage;
	struct request rq = {
		.what = MAKE_FILE,
		.caller = caller,
		.heritage = &heritage,
	};
	int ret;

	do {
		rq.mode = mode | S_IFREG;
		ret = make_with_mode(w, dir, name, &rq, out);
		if (ret != -EEXIST || (flags & O_EXCL))
			return ret;
		ret = open_existing(w, dir, name, flags, out);
	} while (ret == -ENOENT);
	return ret;
}
