/* SPDX-License-Identifier: Apache-2.0 */
/* Removing entries. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/dirid.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/namespace.h"
#include "fs/ns.h"
#include "fs/worker.h"

static int remove_dir(int dirfd, const char *entry, struct inode *inode)
{
	struct dirid_saved saved;
	int ret = dirid_strip(dirfd, entry, &saved);

	if (ret)
		return ret;
	if (!unlinkat(dirfd, entry, AT_REMOVEDIR))
		return 0;
	ret = -errno;
	dirid_restore(dirfd, entry, &saved, inode);
	return ret;
}

static int remove_entry(int dirfd, const char *entry, struct inode *inode, bool is_dir)
{
	if (is_dir)
		return remove_dir(dirfd, entry, inode);
	return unlinkat(dirfd, entry, 0) ? -errno : 0;
}

/* With the tree held for writing. */
static int remove_in_tree(struct fs *fs, const struct ns_name *name, int dirfd,
			  bool want_dir)
{
	const char *entry = name->backing.entry;
	struct inode *inode;
	struct stat st;
	int ret = 0;

	if (!dirid_is_current(name->dir, name->id, false))
		return NS_RETRY;
	if (fstatat(dirfd, entry, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (want_dir != (bool)S_ISDIR(st.st_mode))
		return want_dir ? -ENOTDIR : -EISDIR;
	inode = inode_find(fs, &st);
	if (inode)
		ret = inode_pin(fs, inode, name->dir, dirfd, entry, &st, false);
	if (!ret)
		ret = remove_entry(dirfd, entry, inode, want_dir);
	if (!ret)
		ns_side_remove(dirfd, &name->backing);
	if (!inode)
		return ret;
	if (ret)
		inode_unpin(fs, inode);
	else
		inode_removed(fs, inode, name->dir, entry, &st);
	inode_release(fs, inode);
	return ret;
}

static int remove_name(struct worker *w, struct inode *dir, const char *plain,
		       bool want_dir)
{
	struct fs *fs = worker_fs(w);
	struct ns_name name;
	int ret, fd;

	do {
		ret = ns_seal(w, dir, plain, &name);
		if (ret)
			return ret;
		pthread_rwlock_wrlock(&fs->tree);
		fd = inode_borrow(fs, dir);
		if (fd >= 0) {
			ret = remove_in_tree(fs, &name, fd, want_dir);
			inode_return(fs, dir);
		} else {
			ret = fd;
		}
		pthread_rwlock_unlock(&fs->tree);
	} while (ret == NS_RETRY);
	return ret;
}

int ns_unlink(struct worker *w, struct inode *dir, const char *name)
{
	return remove_name(w, dir, name, false);
}

int ns_rmdir(struct worker *w, struct inode *dir, const char *name)
{
	return remove_name(w, dir, name, true);
}
