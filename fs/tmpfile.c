/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name (O_TMPFILE), which linkat(2) may give one later. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/acl.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/namespace.h"
#include "fs/worker.h"

/* A set-group-id directory gives its group, as to a file with a name. */
static int give_away(int dirfd, int fd, mode_t mode, const struct ns_caller *caller)
{
	struct stat dir;

	if (fstat(dirfd, &dir))
		return -errno;
	if (fchown(fd, caller->uid, dir.st_mode & S_ISGID ? (gid_t)-1 : caller->gid))
		return -errno;
	/* That took the set-id bits away. */
	if ((mode & (S_ISUID | S_ISGID)) && fchmod(fd, mode & 07777))
		return -errno;
	return 0;
}

/*
 * In the backing directory, so that a crash leaves nothing. Never O_EXCL, which would
 * forbid a name for good: the kernel keeps that promise to its callers.
 */
static int open_nameless(struct fs *fs, int dirfd, mode_t mode,
			 const struct ns_caller *caller)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode & 07777);
	int ret = 0;

	if (fd < 0) /* EISDIR: a store that takes no notice of the flag */
		return errno == EISDIR ? -EOPNOTSUPP : -errno;
	if (fs->give_away)
		ret = give_away(dirfd, fd, mode, caller);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static int make_in_tree(struct fs *fs, struct inode *dir, mode_t mode,
			const struct ns_caller *caller)
{
	int dirfd = inode_borrow(fs, dir), fd;

	if (dirfd < 0)
		return dirfd;
	fd = open_nameless(fs, dirfd, mode, caller);
	inode_return(fs, dir);
	return fd;
}

int ns_tmpfile(struct worker *w, struct inode *dir, mode_t mode,
	       const struct ns_caller *caller, struct ns_entry *out)
{
	struct fs *fs = worker_fs(w);
	struct acl_heritage heritage;
	int ret = acl_prepare(w, dir, mode | S_IFREG, caller->umask, &heritage), fd;

	if (ret)
		return ret;
	pthread_rwlock_rdlock(&fs->tree);
	fd = make_in_tree(fs, dir, acl_first_mode(&heritage), caller);
	pthread_rwlock_unlock(&fs->tree);
	if (fd < 0)
		return fd;
	ret = acl_give(fd, NULL, &heritage);
	if (!ret && fstat(fd, &out->attr))
		ret = -errno;
	if (!ret)
		ret = inode_get_nameless(fs, &out->attr, fd, &out->inode);
	if (ret) {
		close(fd);
		return ret;
	}
	inode_plain(&out->attr);
	ret = file_adopt(w, out->inode, fd);
	if (ret)
		inode_forget(fs, out->inode, 1);
	return ret;
}
