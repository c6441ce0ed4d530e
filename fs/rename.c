/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/dirid.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/namespace.h"
#include "fs/ns.h"
#include "fs/worker.h"

/* One of the two names. */
struct end {
	struct ns_name name;
	int dirfd;
	bool there;
	struct stat st;
	struct inode *inode;	 /* held; NULL if not known or not there */
	struct inode_link *link; /* that the other end's inode gets */
};

struct rename {
	struct end from, to;
	unsigned flags;
	bool made_side;
	bool stripped; /* the directory that is replaced, as @saved tells */
	struct dirid_saved saved;
};

static int look(struct fs *fs, struct end *end)
{
	if (!fstatat(end->dirfd, end->name.backing.entry, &end->st,
		     AT_SYMLINK_NOFOLLOW)) {
		end->there = true;
		end->inode = inode_find(fs, &end->st);
		return 0;
	}
	return errno == ENOENT ? 0 : -errno;
}

static bool is_same(const struct rename *r)
{
	return r->to.there && r->from.st.st_ino == r->to.st.st_ino &&
	       r->from.st.st_dev == r->to.st.st_dev;
}

/* Gets ready to replace what has the new name. */
static int prepare_victim(struct fs *fs, struct rename *r)
{
	struct end *to = &r->to;
	int ret = 0;

	if (!to->there || r->flags)
		return 0;
	/* The kernel finds its own errors; but it must not see our entries in the way. */
	if (S_ISDIR(r->from.st.st_mode) && S_ISDIR(to->st.st_mode)) {
		ret = dirid_strip(to->dirfd, to->name.backing.entry, &r->saved);
		r->stripped = !ret;
	}
	if (!ret && to->inode)
		ret = inode_pin(fs, to->inode, to->name.dir, to->dirfd,
				to->name.backing.entry, &to->st, true);
	return ret;
}

static int prepare(struct fs *fs, struct rename *r)
{
	int ret = 0;

	r->from.link = inode_link_create(r->from.name.backing.entry);
	r->to.link = inode_link_create(r->to.name.backing.entry);
	if (!r->from.link || !r->to.link)
		return -ENOMEM;
	if (!(r->flags & RENAME_EXCHANGE))
		ret = ns_side_make(r->to.dirfd, &r->to.name.backing, &r->made_side);
	return ret ? ret : prepare_victim(fs, r);
}

static int do_rename(struct rename *r)
{
	const char *from = r->from.name.backing.entry, *to = r->to.name.backing.entry;

	if (!renameat2(r->from.dirfd, from, r->to.dirfd, to, r->flags))
		return 0;
	/* A store without this flag: nobody else makes names while we hold the tree. */
	if (errno == EINVAL && r->flags == RENAME_NOREPLACE &&
	    !renameat(r->from.dirfd, from, r->to.dirfd, to))
		return 0;
	return -errno;
}

static void undo(struct fs *fs, struct rename *r)
{
	struct end *to = &r->to;

	if (to->inode)
		inode_unpin(fs, to->inode);
	if (r->stripped)
		dirid_restore(to->dirfd, to->name.backing.entry, &r->saved, to->inode);
	if (r->made_side)
		ns_side_remove(to->dirfd, &to->name.backing);
}

/* Notes what has moved, after success. */
static void settle(struct fs *fs, struct rename *r)
{
	struct end *from = &r->from, *to = &r->to;
	const char *from_entry = from->name.backing.entry,
		   *to_entry = to->name.backing.entry;

	__atomic_add_fetch(&fs->nr_moves, 1, __ATOMIC_SEQ_CST);
	if (r->flags & RENAME_EXCHANGE) {
		inode_move(fs, to->inode, to->name.dir, to_entry, from->name.dir,
			   from->link);
		from->link = NULL;
	} else {
		ns_side_remove(from->dirfd, &from->name.backing);
		if (to->inode)
			inode_removed(fs, to->inode, to->name.dir, to_entry, &to->st);
	}
	inode_move(fs, from->inode, from->name.dir, from_entry, to->name.dir, to->link);
	to->link = NULL;
}

/* With both descriptors and the tree held for writing. */
static int rename_at(struct fs *fs, struct rename *r)
{
	int ret = look(fs, &r->from);

	if (!ret)
		ret = look(fs, &r->to);
	if (ret)
		return ret;
	if (!r->from.there || (!r->to.there && (r->flags & RENAME_EXCHANGE)))
		return -ENOENT;
	if (r->to.there && (r->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (is_same(r))
		return 0;
	ret = prepare(fs, r);
	if (!ret)
		ret = do_rename(r);
	if (ret)
		undo(fs, r);
	else
		settle(fs, r);
	return ret;
}

static int rename_in_tree(struct fs *fs, struct rename *r)
{
	struct inode *from_dir = r->from.name.dir, *to_dir = r->to.name.dir;
	int ret;

	if (!dirid_is_current(from_dir, r->from.name.id, false) ||
	    !dirid_is_current(to_dir, r->to.name.id, false))
		return NS_RETRY;
	r->from.dirfd = inode_borrow(fs, from_dir);
	if (r->from.dirfd < 0)
		return r->from.dirfd;
	r->to.dirfd = inode_borrow(fs, to_dir);
	if (r->to.dirfd >= 0) {
		ret = rename_at(fs, r);
		inode_return(fs, to_dir);
	} else {
		ret = r->to.dirfd;
	}
	inode_return(fs, from_dir);
	return ret;
}

static void end_fini(struct fs *fs, struct end *end)
{
	if (end->inode)
		inode_release(fs, end->inode);
	free(end->link);
}

static int try_rename(struct worker *w, struct rename *r, const char *from,
		      const char *to)
{
	struct fs *fs = worker_fs(w);
	int ret = ns_seal(w, r->from.name.dir, from, &r->from.name);

	if (ret)
		return ret;
	if (r->flags & RENAME_EXCHANGE)
		ret = ns_seal(w, r->to.name.dir, to, &r->to.name);
	else
		ret = ns_seal_new(w, r->to.name.dir, to, &r->to.name);
	if (ret)
		return ret;
	pthread_rwlock_wrlock(&fs->tree);
	ret = rename_in_tree(fs, r);
	pthread_rwlock_unlock(&fs->tree);
	end_fini(fs, &r->from);
	end_fini(fs, &r->to);
	return ret;
}

int ns_rename(struct worker *w, struct inode *from_dir, const char *from,
	      struct inode *to_dir, const char *to, unsigned flags)
{
	int ret;

	if (flags && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		return -EINVAL;
	do {
		struct rename r = {
			.from.name.dir = from_dir,
			.to.name.dir = to_dir,
			.flags = flags,
		};

		ret = try_rename(w, &r, from, to);
	} while (ret == NS_RETRY);
	return ret;
}
