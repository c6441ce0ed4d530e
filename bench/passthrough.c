/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick: a FUSE file system that shows another directory as it is, without
 * encryption, as well as libfuse does it by itself (low-level API, its multi-threaded
 * loop, cloned descriptors, writeback cache, everything cached).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	NR_BUCKETS = 1 << 16,
	READ_MAX = 1024 * 1024, /* no request is larger */
	PROC_PATH = sizeof("/proc/self/fd/") + 3 * sizeof(int),
	NR_SPARE = 1024, /* descriptors for all but nodes */
	HANDLE_MAX = 40,
};

#define TIMEOUT 86400.0

struct node {
	struct node *next; /* in its bucket */
	uint64_t nr_lookups;
	dev_t dev;
	ino_t ino;
	int fd; /* O_PATH; -1: a handle follows, since there were too many */
	struct file_handle handle[];
};

struct listing {
	DIR *dir;
	struct dirent *entry; /* read but not sent yet */
	off_t at;
};

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *nodes[NR_BUCKETS];
static struct node root = {.fd = -1};
static int root_fd = -1;	 /* not O_PATH, as open_by_handle_at() wants it */
static uint64_t nr_fds, max_fds; /* of nodes */

static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &root : (struct node *)ino;
}

/* A descriptor made from a handle lasts until the thread makes the one after the next. */
static int fd_of(fuse_ino_t ino)
{
	static _Thread_local int made[2] = {-1, -1};
	struct node *node = node_of(ino);

	if (node->fd >= 0)
		return node->fd;
	if (made[0] >= 0)
		close(made[0]);
	made[0] = made[1];
	made[1] = open_by_handle_at(root_fd, node->handle, O_PATH | O_CLOEXEC);
	return made[1];
}

/* An O_PATH descriptor can be opened, changed and linked through this name. */
static const char *proc_path(fuse_ino_t ino, char path[PROC_PATH])
{
	snprintf(path, PROC_PATH, "/proc/self/fd/%d", fd_of(ino));
	return path;
}

static void reply(fuse_req_t req, int failed)
{
	fuse_reply_err(req, failed ? errno : 0);
}

static struct node **bucket_of(dev_t dev, ino_t ino)
{
	uint64_t hash = (ino ^ (dev << 20)) * 0x9e3779b97f4a7c15u;

	return &nodes[hash >> 48];
}

/* With few descriptors left, a node with a handle instead. */
static struct node *node_make(int fd, const struct stat *st)
{
	bool many = nr_fds >= max_fds && st->st_dev == root.dev;
	struct node *node =
		malloc(sizeof(*node) + (many ? sizeof(*node->handle) + HANDLE_MAX : 0));
	int mount_id;

	if (!node)
		return NULL;
	*node = (struct node){NULL, 1, st->st_dev, st->st_ino, fd};
	if (many) {
		node->handle->handle_bytes = HANDLE_MAX;
		if (!name_to_handle_at(fd, "", node->handle, &mount_id, AT_EMPTY_PATH)) {
			close(fd);
			node->fd = -1;
		}
	}
	nr_fds += node->fd >= 0;
	return node;
}

/* The node that @fd, which it takes, refers to. NULL: no memory. */
static struct node *node_get(int fd, const struct stat *st)
{
	struct node **bucket = bucket_of(st->st_dev, st->st_ino);
	struct node *node;

	pthread_mutex_lock(&nodes_lock);
	for (node = *bucket; node; node = node->next)
		if (node->ino == st->st_ino && node->dev == st->st_dev)
			break;
	if (node) {
		node->nr_lookups++;
		close(fd);
	} else if ((node = node_make(fd, st))) {
		node->next = *bucket;
		*bucket = node;
	} else {
		close(fd);
	}
	pthread_mutex_unlock(&nodes_lock);
	return node;
}

static void node_put(fuse_ino_t ino, uint64_t nr_lookups)
{
	struct node *node = node_of(ino), **at;

	if (node == &root)
		return;
	pthread_mutex_lock(&nodes_lock);
	node->nr_lookups -= nr_lookups;
	if (node->nr_lookups) {
		pthread_mutex_unlock(&nodes_lock);
		return;
	}
	for (at = bucket_of(node->dev, node->ino); *at != node; at = &(*at)->next)
		;
	*at = node->next;
	nr_fds -= node->fd >= 0;
	pthread_mutex_unlock(&nodes_lock);
	if (node->fd >= 0)
		close(node->fd);
	free(node);
}

/* 0 or an errno; with 0, the kernel owns one reference more. */
static int find(fuse_ino_t parent, const char *name, struct fuse_entry_param *e)
{
	int fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	memset(e, 0, sizeof(*e));
	e->attr_timeout = e->entry_timeout = TIMEOUT;
	if (fd < 0)
		return errno;
	if (fstatat(fd, "", &e->attr, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) {
		close(fd);
		return EIO;
	}
	e->ino = (fuse_ino_t)node_get(fd, &e->attr);
	return e->ino ? 0 : ENOMEM;
}

static void reply_entry(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int err = find(parent, name, &e);

	if (err)
		fuse_reply_err(req, err);
	else
		fuse_reply_entry(req, &e);
}

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int err = find(parent, name, &e);

	/* remembered by the kernel, too */
	if (err && err != ENOENT)
		fuse_reply_err(req, err);
	else
		fuse_reply_entry(req, &e);
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nr_lookups)
{
	node_put(ino, nr_lookups);
	fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		node_put(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (fstatat(fd_of(ino), "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		fuse_reply_err(req, errno);
	else
		fuse_reply_attr(req, &st, TIMEOUT);
}

static int set_times(const char *path, const struct stat *attr, int what)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (what & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	else if (what & FUSE_SET_ATTR_ATIME)
		times[0] = attr->st_atim;
	if (what & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	else if (what & FUSE_SET_ATTR_MTIME)
		times[1] = attr->st_mtim;
	return utimensat(AT_FDCWD, path, times, 0);
}

static int set_attr(fuse_ino_t ino, const struct stat *attr, int what,
		    const struct fuse_file_info *fi)
{
	uid_t uid = what & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = what & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
	char path[PROC_PATH];
	int rc = 0;

	proc_path(ino, path);
	if (what & FUSE_SET_ATTR_MODE)
		rc = fi ? fchmod((int)fi->fh, attr->st_mode) : chmod(path, attr->st_mode);
	if (!rc && what & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		rc = fchownat(fd_of(ino), "", uid, gid,
			      AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
	if (!rc && what & FUSE_SET_ATTR_SIZE)
		rc = fi ? ftruncate((int)fi->fh, attr->st_size)
			: truncate(path, attr->st_size);
	if (!rc && what & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME))
		rc = set_times(path, attr, what);
	return rc;
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what,
		       struct fuse_file_info *fi)
{
	if (set_attr(ino, attr, what, fi))
		fuse_reply_err(req, errno);
	else
		do_getattr(req, ino, fi);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	ssize_t len = readlinkat(fd_of(ino), "", target, PATH_MAX);

	if (len < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	target[len] = '\0';
	fuse_reply_readlink(req, target);
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t dev)
{
	if (mknodat(fd_of(parent), name, mode, dev))
		fuse_reply_err(req, errno);
	else
		reply_entry(req, parent, name);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (mkdirat(fd_of(parent), name, mode))
		fuse_reply_err(req, errno);
	else
		reply_entry(req, parent, name);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name)
{
	if (symlinkat(target, fd_of(parent), name))
		fuse_reply_err(req, errno);
	else
		reply_entry(req, parent, name);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	char path[PROC_PATH];

	if (linkat(AT_FDCWD, proc_path(ino, path), fd_of(parent), name,
		   AT_SYMLINK_FOLLOW))
		fuse_reply_err(req, errno);
	else
		reply_entry(req, parent, name);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply(req, unlinkat(fd_of(parent), name, 0));
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply(req, unlinkat(fd_of(parent), name, AT_REMOVEDIR));
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	reply(req, renameat2(fd_of(parent), name, fd_of(new_parent), new_name, flags));
}

/*
 * The writeback cache reads through writers' descriptors and appends by itself. O_DIRECT
 * is between the application and FUSE: everyone's backing files are buffered.
 */
static int backing_flags(int flags)
{
	if ((flags & O_ACCMODE) == O_WRONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	return (flags & ~(O_APPEND | O_DIRECT | O_NOFOLLOW)) | O_CLOEXEC;
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	char path[PROC_PATH];
	int fd = open(proc_path(ino, path), backing_flags(fi->flags));

	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = (uint64_t)fd;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	int fd = openat(fd_of(parent), name,
			backing_flags(fi->flags) | O_CREAT | O_NOFOLLOW, mode);
	struct fuse_entry_param e;
	int err = fd < 0 ? errno : find(parent, name, &e);

	if (err) {
		if (fd >= 0)
			close(fd);
		fuse_reply_err(req, err);
		return;
	}
	fi->fh = (uint64_t)fd;
	fi->keep_cache = 1;
	fuse_reply_create(req, &e, fi);
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	reply(req, close((int)fi->fh));
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	static _Thread_local char *buf;
	ssize_t len;

	(void)ino;
	if (!buf && !(buf = malloc(READ_MAX))) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	len = pread((int)fi->fh, buf, size < READ_MAX ? size : READ_MAX, off);
	if (len < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_buf(req, buf, (size_t)len);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	ssize_t len = pwrite((int)fi->fh, buf, size, off);

	(void)ino;
	if (len < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)len);
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int data_only,
		     struct fuse_file_info *fi)
{
	(void)ino;
	reply(req, data_only ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static void do_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	(void)ino;
	reply(req, fallocate((int)fi->fh, mode, off, len));
}

static struct listing *listing_of(const struct fuse_file_info *fi)
{
	return (struct listing *)(uintptr_t)fi->fh;
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct listing *list = calloc(1, sizeof(*list));
	int fd = list ? openat(fd_of(ino), ".", O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0 || !(list->dir = fdopendir(fd))) {
		fuse_reply_err(req, list ? errno : ENOMEM);
		if (fd >= 0)
			close(fd);
		free(list);
		return;
	}
	fi->fh = (uintptr_t)list;
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

/* One entry to @buf; its length, 0 when it does not fit. */
static size_t add_entry(fuse_req_t req, fuse_ino_t ino, const struct dirent *entry,
			bool plus, char *buf, size_t room)
{
	bool dots = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	struct fuse_entry_param e = {.attr.st_ino = entry->d_ino,
				     .attr.st_mode = (mode_t)entry->d_type << 12};
	size_t len;

	if (!plus) {
		len = fuse_add_direntry(req, buf, room, entry->d_name, &e.attr,
					entry->d_off);
		return len <= room ? len : 0;
	}
	if (!dots && find(ino, entry->d_name, &e))
		e.ino = 0;
	len = fuse_add_direntry_plus(req, buf, room, entry->d_name, &e, entry->d_off);
	if (len <= room)
		return len;
	if (!dots && e.ino)
		node_put(e.ino, 1);
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		 struct fuse_file_info *fi, bool plus)
{
	struct listing *l = listing_of(fi);
	char *buf = malloc(size);
	size_t used = 0, len;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (off != l->at) {
		seekdir(l->dir, off);
		l->entry = NULL;
		l->at = off;
	}
	while (l->entry || (l->entry = readdir(l->dir))) {
		len = add_entry(req, ino, l->entry, plus, buf + used, size - used);
		if (!len)
			break;
		used += len;
		l->at = l->entry->d_off;
		l->entry = NULL;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, false);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, true);
}

static void do_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct listing *l = listing_of(fi);

	(void)ino;
	closedir(l->dir);
	free(l);
	fuse_reply_err(req, 0);
}

static void do_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only,
			struct fuse_file_info *fi)
{
	(void)ino;
	(void)data_only;
	reply(req, fsync(dirfd(listing_of(fi)->dir)));
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	if (fstatvfs(fd_of(ino), &st))
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops ops = {
	.init = do_init,
	.lookup = do_lookup,
	.forget = do_forget,
	.forget_multi = do_forget_multi,
	.getattr = do_getattr,
	.setattr = do_setattr,
	.readlink = do_readlink,
	.mknod = do_mknod,
	.mkdir = do_mkdir,
	.symlink = do_symlink,
	.link = do_link,
	.unlink = do_unlink,
	.rmdir = do_rmdir,
	.rename = do_rename,
	.open = do_open,
	.create = do_create,
	.release = do_release,
	.read = do_read,
	.write = do_write,
	.fsync = do_fsync,
	.fallocate = do_fallocate,
	.opendir = do_opendir,
	.readdir = do_readdir,
	.readdirplus = do_readdirplus,
	.releasedir = do_releasedir,
	.fsyncdir = do_fsyncdir,
	.statfs = do_statfs,
};

static int serve(struct fuse_session *se, const char *mountpoint)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc = -1;

	if (!config)
		return -1;
	fuse_loop_cfg_set_clone_fd(config, 1);
	if (fuse_set_signal_handlers(se))
		goto out;
	if (!fuse_session_mount(se, mountpoint)) {
		rc = fuse_session_loop_mt(se, config);
		fuse_session_unmount(se);
	}
	fuse_remove_signal_handlers(se);
out:
	fuse_loop_cfg_destroy(config);
	return rc;
}

/* Every inode that the kernel knows has a descriptor, as long as there are any; where the
 * kernel (which wants root) and the store have handles, the others have those. */
static void count_files(void)
{
	struct rlimit limit = {1 << 20, 1 << 20};
	struct {
		struct file_handle head;
		char room[HANDLE_MAX];
	} handle = {.head.handle_bytes = HANDLE_MAX};
	int mount_id, fd = -1;

	if (setrlimit(RLIMIT_NOFILE, &limit) && !getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (!name_to_handle_at(root_fd, "", &handle.head, &mount_id, AT_EMPTY_PATH))
		fd = open_by_handle_at(root_fd, &handle.head, O_PATH | O_CLOEXEC);
	max_fds = UINT64_MAX;
	if (fd >= 0) {
		max_fds = limit.rlim_cur > NR_SPARE ? limit.rlim_cur - NR_SPARE : 0;
		close(fd);
	}
}

static bool open_root(const char *path)
{
	struct stat st;

	root.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root.fd < 0 || root_fd < 0 || fstat(root_fd, &st)) {
		perror(path);
		return false;
	}
	root.dev = st.st_dev;
	return true;
}

int main(int argc, char **argv)
{
	char *words[] = {argv[0], (char *)"-odefault_permissions,fsname=passthrough"};
	struct fuse_args args = FUSE_ARGS_INIT(2, words);
	struct fuse_session *se;
	int rc;

	if (argc != 3) {
		fprintf(stderr, "Usage: passthrough DIRECTORY MOUNTPOINT\n");
		return 2;
	}
	umask(0);
	if (!open_root(argv[1]))
		return 1;
	count_files();
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se)
		return 1;
	rc = serve(se, argv[2]);
	fuse_session_destroy(se);
	return rc ? 1 : 0;
}
