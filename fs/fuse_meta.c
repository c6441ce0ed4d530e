/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/fuse_entry.h"
#include "fs/link.h"
#include "fs/worker.h"
#include "hsm/api/secmem.h"

/* What an open directory's handle points to: FUSE may send two requests at a time. */
struct open_dir {
	pthread_mutex_t lock;
	struct ns_dir *dir;
	struct open_dir *prev, *next; /* in open_dirs */
};

/* All of them, since they hold names. The lock comes before theirs. */
static struct {
	pthread_mutex_t lock;
	struct open_dir *first;
} open_dirs = {PTHREAD_MUTEX_INITIALIZER, NULL};

static struct inode *inode_of(fuse_ino_t ino)
{
	return fuse_entry_inode(worker_fs(worker_current()), ino);
}

static struct open_dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct open_dir *)(uintptr_t)fi->fh;
}

/* Answers an operation that has one more lookup to give, or @ret. */
static void reply_entry(fuse_req_t req, int ret, const struct ns_entry *entry)
{
	struct fuse_entry_param param;

	if (ret) {
		fuse_reply_err(req, -ret);
		return;
	}
	param = fuse_entry_param(worker_fs(worker_current()), entry);
	if (fuse_reply_entry(req, &param))
		inode_forget(worker_fs(worker_current()), entry->inode, 1);
}

static void reply_attr(fuse_req_t req, int ret, const struct inode *inode,
		       struct stat *st)
{
	struct fs *fs = worker_fs(worker_current());

	if (ret) {
		fuse_reply_err(req, -ret);
		return;
	}
	st->st_ino = inode_shown(fs, inode, st->st_ino);
	fuse_reply_attr(req, st, fuse_entry_timeout(fs));
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct worker *w = fuse_entry_worker(req);
	struct fuse_entry_param absent = {.entry_timeout = fuse_entry_timeout(w->fs)};
	struct ns_entry entry;
	int ret;

	/* only of file handles: the kernel walks paths without these two */
	if (!strcmp(name, "."))
		ret = ns_lookup_id(w, parent, &entry);
	else if (!strcmp(name, ".."))
		ret = ns_lookup_parent(w, inode_of(parent), &entry);
	else
		ret = ns_lookup(w, inode_of(parent), name, &entry);

	if (ret == -ENOENT)
		fuse_reply_entry(req, &absent);
	else
		reply_entry(req, ret, &entry);
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nr)
{
	inode_forget(worker_fs(worker_current()), inode_of(ino), nr);
	fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	struct fs *fs = worker_fs(worker_current());

	for (size_t i = 0; i < count; i++)
		inode_forget(fs, fuse_entry_inode(fs, forgets[i].ino),
			     forgets[i].nlookup);
	fuse_reply_none(req);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = inode_of(ino);
	struct stat st;
	int ret = attr_get(fuse_entry_worker(req), inode, &st);

	(void)fi;
	reply_attr(req, ret, inode, &st);
}

static unsigned changes_of(int to_set)
{
	static const struct {
		int fuse;
		unsigned ours;
	} map[] = {
		{FUSE_SET_ATTR_MODE, ATTR_MODE},
		{FUSE_SET_ATTR_UID, ATTR_UID},
		{FUSE_SET_ATTR_GID, ATTR_GID},
		{FUSE_SET_ATTR_SIZE, ATTR_SIZE},
		{FUSE_SET_ATTR_ATIME, ATTR_ATIME},
		{FUSE_SET_ATTR_MTIME, ATTR_MTIME},
		{FUSE_SET_ATTR_ATIME_NOW, ATTR_ATIME},
		{FUSE_SET_ATTR_MTIME_NOW, ATTR_MTIME},
		{FUSE_SET_ATTR_CTIME, ATTR_CTIME},
	};
	unsigned changes = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		changes |= to_set & map[i].fuse ? map[i].ours : 0;
	return changes;
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	struct worker *w = fuse_entry_worker(req);
	const struct fuse_setattr_in *in = fuse_entry_arguments(w);
	struct inode *inode = inode_of(ino);
	struct stat want = *attr, st;
	int ret = 0;

	(void)fi;
	if (in->valid & FATTR_KILL_SUIDGID)
		ret = attr_written(w, inode);
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		want.st_atim.tv_nsec = UTIME_NOW;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		want.st_mtim.tv_nsec = UTIME_NOW;
	if (!ret)
		ret = attr_set(w, inode, changes_of(to_set), &want, &st);
	reply_attr(req, ret, inode, &st);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char *target;
	int ret = ns_readlink(fuse_entry_worker(req), inode_of(ino), &target);

	if (ret) {
		fuse_reply_err(req, -ret);
		return;
	}
	fuse_reply_readlink(req, target);
	secmem_wipe(target, strlen(target));
	free(target);
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t rdev)
{
	struct ns_caller caller = fuse_entry_caller(req);
	struct ns_entry entry;
	int ret = ns_mknod(fuse_entry_worker(req), inode_of(parent), name, mode, rdev,
			   &caller, &entry);

	reply_entry(req, ret, &entry);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct ns_caller caller = fuse_entry_caller(req);
	struct ns_entry entry;
	int ret = ns_mkdir(fuse_entry_worker(req), inode_of(parent), name, mode, &caller,
			   &entry);

	reply_entry(req, ret, &entry);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name)
{
	struct ns_caller caller = fuse_entry_caller(req);
	struct ns_entry entry;
	int ret = ns_symlink(fuse_entry_worker(req), inode_of(parent), name, target,
			     &caller, &entry);

	reply_entry(req, ret, &entry);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct ns_entry entry;
	int ret = ns_link(fuse_entry_worker(req), inode_of(ino), inode_of(parent), name,
			  &entry);

	reply_entry(req, ret, &entry);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -ns_unlink(fuse_entry_worker(req), inode_of(parent), name));
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -ns_rmdir(fuse_entry_worker(req), inode_of(parent), name));
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t to_parent, const char *to, unsigned flags)
{
	fuse_reply_err(req, -ns_rename(fuse_entry_worker(req), inode_of(parent), name,
				       inode_of(to_parent), to, flags));
}

static void add_open_dir(struct open_dir *handle)
{
	pthread_mutex_init(&handle->lock, NULL);
	pthread_mutex_lock(&open_dirs.lock);
	handle->next = open_dirs.first;
	if (handle->next)
		handle->next->prev = handle;
	open_dirs.first = handle;
	pthread_mutex_unlock(&open_dirs.lock);
}

static void end_open_dir(struct worker *w, struct open_dir *handle)
{
	pthread_mutex_lock(&open_dirs.lock);
	if (handle->prev)
		handle->prev->next = handle->next;
	else
		open_dirs.first = handle->next;
	if (handle->next)
		handle->next->prev = handle->prev;
	pthread_mutex_unlock(&open_dirs.lock);
	ns_closedir(w, handle->dir);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

/* Who is listing it does the same afterwards. */
static void forget_names(struct open_dir *handle)
{
	if (pthread_mutex_trylock(&handle->lock))
		return;
	ns_dir_forget(handle->dir);
	pthread_mutex_unlock(&handle->lock);
}

void fuse_meta_forget_names(void)
{
	pthread_mutex_lock(&open_dirs.lock);
	for (struct open_dir *handle = open_dirs.first; handle; handle = handle->next)
		forget_names(handle);
	pthread_mutex_unlock(&open_dirs.lock);
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct open_dir *handle = calloc(1, sizeof(*handle));
	int ret = -ENOMEM;

	if (handle)
		ret = ns_opendir(fuse_entry_worker(req), inode_of(ino), &handle->dir);
	if (ret) {
		free(handle);
		fuse_reply_err(req, -ret);
		return;
	}
	add_open_dir(handle);
	fi->fh = (uintptr_t)handle;
	fi->cache_readdir = fi->keep_cache = !worker_fs(worker_current())->shared;
	if (fuse_reply_open(req, fi))
		end_open_dir(worker_current(), handle);
}

static void do_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	end_open_dir(fuse_entry_worker(req), dir_of(fi));
	fuse_reply_err(req, 0);
}

/* Adds one entry at @buf. Its size; more than @room: it was not added. */
static size_t add_plain(fuse_req_t req, char *buf, size_t room, struct ns_dir *dir,
			const struct ns_dirent *entry)
{
	struct stat st = {.st_ino = entry->ino, .st_mode = (mode_t)entry->type << 12};

	(void)dir;
	return fuse_add_direntry(req, buf, room, entry->name, &st, (off_t)entry->offset);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* The same with a lookup; what cannot be looked up is listed all the same. */
static size_t add_plus(fuse_req_t req, char *buf, size_t room, struct ns_dir *dir,
		       const struct ns_dirent *entry)
{
	struct fuse_entry_param param = {
		.attr = {.st_ino = entry->ino, .st_mode = (mode_t)entry->type << 12},
	};
	size_t size = fuse_add_direntry_plus(req, NULL, 0, entry->name, NULL, 0);
	struct ns_entry found;

	if (size > room)
		return size;
	if (!is_dots(entry->name) &&
	    !ns_dirent_lookup(fuse_entry_worker(req), dir, entry, &found))
		param = fuse_entry_param(worker_fs(worker_current()), &found);
	return fuse_add_direntry_plus(req, buf, room, entry->name, &param,
				      (off_t)entry->offset);
}

typedef size_t add_entry(fuse_req_t req, char *buf, size_t room, struct ns_dir *dir,
			 const struct ns_dirent *entry);

/* Fills @buf. The bytes used, or -errno if there is nothing to tell but that. */
static ssize_t fill(fuse_req_t req, char *buf, size_t size, struct ns_dir *dir,
		    uint64_t offset, add_entry *add)
{
	struct ns_dirent entry;
	size_t used = 0;
	int ret;

	while ((ret = ns_readdir(fuse_entry_worker(req), dir, offset, &entry)) > 0) {
		size_t len = add(req, buf + used, size - used, dir, &entry);

		if (len > size - used)
			break;
		used += len;
		offset = entry.offset;
	}
	return ret < 0 && !used ? ret : (ssize_t)used;
}

static void list(fuse_req_t req, size_t size, off_t offset,
		 const struct fuse_file_info *fi, add_entry *add)
{
	struct open_dir *handle = dir_of(fi);
	char *buf = malloc(size);
	ssize_t used;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&handle->lock);
	used = fill(req, buf, size, handle->dir, (uint64_t)offset, add);
	pthread_mutex_unlock(&handle->lock);
	if (!link_epoch(worker_fs(worker_current())->link))
		forget_names(handle);
	if (used < 0) {
		fuse_reply_err(req, (int)-used);
	} else {
		fuse_reply_buf(req, buf, (size_t)used);
		secmem_wipe(buf, (size_t)used);
	}
	free(buf);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, offset, fi, add_plain);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, offset, fi, add_plus);
}

static void do_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	(void)fi;
	fuse_reply_err(req,
		       -ns_fsyncdir(fuse_entry_worker(req), inode_of(ino), datasync));
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	int ret = attr_statfs(fuse_entry_worker(req), inode_of(ino), &st);

	if (ret)
		fuse_reply_err(req, -ret);
	else
		fuse_reply_statfs(req, &st);
}

static void do_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	fuse_reply_err(req, -attr_access(fuse_entry_worker(req), inode_of(ino), mask));
}

void fuse_meta_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = do_lookup;
	ops->forget = do_forget;
	ops->forget_multi = do_forget_multi;
	ops->getattr = do_getattr;
	ops->setattr = do_setattr;
	ops->readlink = do_readlink;
	ops->mknod = do_mknod;
	ops->mkdir = do_mkdir;
	ops->symlink = do_symlink;
	ops->link = do_link;
	ops->unlink = do_unlink;
	ops->rmdir = do_rmdir;
	ops->rename = do_rename;
	ops->opendir = do_opendir;
	ops->readdir = do_readdir;
	ops->readdirplus = do_readdirplus;
	ops->releasedir = do_releasedir;
	ops->fsyncdir = do_fsyncdir;
	ops->statfs = do_statfs;
	ops->access = do_access;
}
