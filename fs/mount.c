/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/fuse_data.h"
#include "fs/fuse_loop.h"
#include "fs/fuse_meta.h"
#include "fs/fuse_open.h"
#include "fs/fuse_space.h"
#include "fs/fuse_xattr.h"
#include "fs/inode.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/names.h"
#include "fs/options.h"
#include "fs/settle.h"
#include "fs/volume/header.h"
#include "fs/volume/mountctl.h"

enum {
	MAX_WRITE = 1024 * 1024,
	MAX_BACKGROUND = 64,
	/* FUSE 7.41 is Linux 6.12. Before, some kernels leave what they had in memory
	 * behind the end of content that they are given (CVE-2024-44947). */
	GIVE_SINCE_MINOR = 41,
};

struct mount {
	struct mount_config config;
	char *options; /* for FUSE, each with a comma in front */
	struct fs fs;
	struct header header;
	int header_fd; /* the backing directory, readable */
	int lock_fd;
	struct fuse_session *se;
	bool claimed; /* the header says that a writable mount is in progress */
	bool mounted;
	struct loop *loop;
	struct control *control;
	int listener;
};

/* What header_verify() and header_store() need the connection for. */
struct header_use {
	struct mount *mount;
	char *why;
	size_t why_len;
};

static int use_verify(struct hsm_client *hsm, void *arg)
{
	struct header_use *use = arg;

	return header_verify(use->mount->header_fd, &use->mount->header, hsm, use->why,
			     use->why_len);
}

static int use_store(struct hsm_client *hsm, void *arg)
{
	struct header_use *use = arg;

	return header_store(use->mount->header_fd, &use->mount->header, hsm);
}

static int store_state(struct mount *mount, enum header_state state)
{
	struct header_use use = {.mount = mount};

	mount->header.state = state;
	return link_use(mount->fs.link, use_store, &use);
}

static int open_volume(struct mount *mount, char *why, size_t why_len)
{
	int ret;

	mount->header_fd =
		open(mount->config.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mount->fs.root_fd =
		open(mount->config.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount->header_fd < 0 || mount->fs.root_fd < 0) {
		ret = -errno;
		snprintf(why, why_len, "%s: %s", mount->config.directory, strerror(-ret));
		return ret;
	}
	mount->lock_fd = mount->fs.shared ? header_lock_shared(mount->header_fd)
					  : header_lock(mount->header_fd);
	if (mount->lock_fd < 0) {
		snprintf(why, why_len,
			 mount->lock_fd == -EBUSY
				 ? "%s is mounted already; close that mount first"
				 : "%s: its lock file cannot be used",
			 mount->config.directory);
		return mount->lock_fd;
	}
	return header_load(mount->header_fd, &mount->header, why, why_len);
}

/* With the session: is the header genuine, and how was the volume left? */
static int claim_volume(struct mount *mount, char *why, size_t why_len)
{
	struct header_use use = {mount, why, why_len};
	const struct wire_redeem_reply *volume = link_volume(mount->fs.link);
	int ret;

	/* hsmsetup may have unlocked with the other copy because this one is damaged */
	if (memcmp(volume->uuid, mount->header.uuid, KEYSLOT_UUID_BYTES))
		header_load_other(mount->header_fd, &mount->header);
	if (memcmp(volume->uuid, mount->header.uuid, KEYSLOT_UUID_BYTES)) {
		snprintf(why, why_len, "the ticket is for another volume");
		return -EINVAL;
	}
	mount->fs.read_only |= !(volume->rights & WIRE_MAY_SEAL);
	ret = link_use(mount->fs.link, use_verify, &use);
	if (ret)
		return ret;
	mount->fs.unsettled = mount->header.state != HEADER_CLEAN;
	if (mount->fs.read_only)
		return 0;
	if (!mount->fs.unsettled)
		mount->header.unclean_since = time(NULL);
	/* another's crash cannot be told from its mount in progress: somebody looks later
	 */
	ret = store_state(mount, mount->fs.shared ? HEADER_UNSETTLED : HEADER_MOUNTED);
	if (ret)
		snprintf(why, why_len, "the volume header cannot be written (%s)%s",
			 strerror(-ret),
			 ret == -ENOSPC || ret == -EDQUOT
				 ? "; make room beside the volume, or open it read-only"
				 : "");
	mount->claimed = !ret && !mount->fs.shared;
	mount->fs.unsettled |= mount->fs.shared;
	return ret;
}

/* What cannot be settled now, for want of a permission say, is tried again next time. */
static int settle(struct mount *mount, char *why, size_t why_len)
{
	int ret;

	if (!mount->claimed || !mount->fs.unsettled)
		return 0;
	ret = settle_volume(&mount->fs, mount->header.unclean_since);
	mount->fs.unsettled = ret != 0;
	if (ret && ret != -EINTR) {
		log_warn("not every file could be checked after the unclean close (%s)",
			 strerror(-ret));
		return 0;
	}
	if (ret)
		snprintf(why, why_len, "the HSM went away while files were checked");
	return ret;
}

/* Commas and backslashes would end the option; whoever made the directory chose them. */
static char *escape(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *at = out;

	for (; out && *text; text++) {
		if (*text == ',' || *text == '\\')
			*at++ = '\\';
		*at++ = *text;
	}
	if (out)
		*at = '\0';
	return out;
}

static int add_options(struct mount *mount, struct fuse_args *args)
{
	char *directory = escape(mount->config.directory);
	char *options = NULL;
	int ret = -ENOMEM;

	if (!directory ||
	    asprintf(&options,
		     "-ofsname=%s,subtype=hsmfs,default_permissions,noatime,%s%s",
		     directory, mount->fs.read_only ? "ro" : "rw", mount->options) < 0) {
		options = NULL;
		goto out;
	}
	if (!fuse_opt_add_arg(args, "hsmfs") && !fuse_opt_add_arg(args, options))
		ret = 0;
out:
	free(directory);
	free(options);
	return ret;
}

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	static const unsigned wanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ASYNC_READ |
				       FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
				       FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
				       FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_CACHE_SYMLINKS |
				       FUSE_CAP_EXPORT_SUPPORT;
	/* umasks are ours then: a default ACL counts in their place */
	static const unsigned acls = FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
	static const unsigned unwanted = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
					 FUSE_CAP_SPLICE_MOVE | FUSE_CAP_AUTO_INVAL_DATA;
	struct fs *fs = userdata;

	fs->gives = conn->proto_minor >= GIVE_SINCE_MINOR;
	conn->want |= conn->capable & wanted;
	conn->want &= ~unwanted;
	if (fs->acl)
		conn->want |= conn->capable & acls;
	if (fs->cache != FS_CACHE_WRITEBACK)
		conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	if (fs->shared)
		conn->want &= ~(unsigned)FUSE_CAP_CACHE_SYMLINKS;
	conn->max_write = MAX_WRITE;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
}

/* What libfuse writes to stderr we say in one sentence; later nobody reads it. */
static void say_nothing(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

static int mount_session(struct mount *mount, char *why, size_t why_len)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = {.init = do_init};
	int ret = add_options(mount, &args);

	if (ret)
		goto out;
	fuse_meta_ops(&ops);
	fuse_open_ops(&ops);
	fuse_data_ops(&ops, &mount->fs);
	fuse_space_ops(&ops);
	fuse_xattr_ops(&ops);
	fuse_set_log_func(say_nothing);
	mount->se = fuse_session_new(&args, &ops, sizeof(ops), &mount->fs);
	if (!mount->se) {
		snprintf(why, why_len, "a mount option is not known: %s",
			 mount->config.options ? mount->config.options : "(none given)");
		ret = -EINVAL;
		goto out;
	}
	mount->fs.session = mount->se;
	if (fuse_session_mount(mount->se, mount->config.mountpoint)) {
		snprintf(why, why_len,
			 "cannot mount on %s; is /dev/fuse accessible, fusermount3 "
			 "installed "
			 "and the directory yours?",
			 mount->config.mountpoint);
		ret = -EACCES;
		goto out;
	}
	mount->mounted = true;
out:
	fuse_opt_free_args(&args);
	return ret;
}

static int start_threads(struct mount *mount, char *why, size_t why_len)
{
	struct control_config config = {.fs = &mount->fs,
					.se = mount->se,
					.directory = mount->config.directory,
					.mountpoint = mount->config.mountpoint,
					.listener = mount->listener};
	int ret = loop_start(mount->se, &mount->fs, &mount->loop);

	config.loop = mount->loop;
	if (!ret)
		ret = control_start(&config, &mount->control);
	if (ret)
		snprintf(why, why_len, "cannot start its threads (%s)", strerror(-ret));
	return ret;
}

/* Every known directory may keep a descriptor; the default soft limit is 1024. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void block_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* Undoes, in reverse, whatever mount_start() got done. */
static void mount_free(struct mount *mount)
{
	if (mount->se) {
		if (mount->mounted)
			fuse_session_unmount(mount->se);
		fuse_session_destroy(mount->se);
	}
	if (mount->fs.inodes)
		inode_table_destroy(mount->fs.inodes);
	if (mount->fs.names)
		names_destroy(mount->fs.names);
	link_destroy(mount->fs.link);
	pthread_rwlock_destroy(&mount->fs.tree);
	header_fini(&mount->header);
	if (mount->lock_fd >= 0)
		close(mount->lock_fd);
	if (mount->header_fd >= 0)
		close(mount->header_fd);
	if (mount->fs.root_fd >= 0)
		close(mount->fs.root_fd);
	free(mount->options);
	free(mount);
}

static struct mount *mount_alloc(const struct mount_config *config)
{
	struct mount *mount = calloc(1, sizeof(*mount));
	pthread_rwlockattr_t attr;

	if (!mount)
		return NULL;
	mount->config = *config;
	mount->header_fd = mount->lock_fd = mount->listener = mount->fs.root_fd = -1;
	mount->fs.read_only = config->read_only;
	mount->fs.give_away = geteuid() == 0;
	/* lookups come without end: a rename must get its turn */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&mount->fs.tree, &attr);
	pthread_rwlockattr_destroy(&attr);
	return mount;
}

static int make_tables(struct mount *mount)
{
	mount->fs.names = names_create();
	if (!mount->fs.names)
		return -ENOMEM;
	return inode_table_create(&mount->fs, mount->fs.root_fd, &mount->fs.inodes);
}

/* A suspended volume cannot be marked: it stays "mounted" and is settled next time. */
static int mark_closed(struct mount *mount)
{
	bool unsettled = mount->fs.unsettled || mount->fs.unrestored;
	int ret;

	if (!mount->claimed)
		return 0;
	/* "clean" must not become durable before what it speaks of */
	ret = syncfs(mount->header_fd) ? -errno : 0;
	if (!ret)
		ret = store_state(mount, unsettled ? HEADER_UNSETTLED : HEADER_CLEAN);
	if (ret)
		log_warn("the volume could not be marked as closed (%s); it will be "
			 "checked "
			 "at the next mount",
			 strerror(-ret));
	return ret;
}

int mount_start(const struct mount_config *config, struct mount **out, char *why,
		size_t why_len)
{
	struct mount *mount = mount_alloc(config);
	int ret;

	if (!mount)
		return -ENOMEM;
	raise_file_limit();
	block_signals();
	ret = options_sort(config->options, &mount->fs, &mount->options, why, why_len);
	if (!ret)
		ret = open_volume(mount, why, why_len);
	if (!ret)
		ret = link_create(config->ticket, &mount->fs.link, why, why_len);
	if (!ret)
		ret = claim_volume(mount, why, why_len);
	if (!ret)
		ret = settle(mount, why, why_len);
	if (!ret)
		ret = make_tables(mount);
	if (!ret)
		ret = mount_session(mount, why, why_len);
	if (!ret) {
		mount->listener = mountctl_listen(config->mountpoint);
		ret = mount->listener < 0 ? mount->listener : 0;
		if (ret)
			snprintf(why, why_len, "cannot make its control socket (%s)",
				 strerror(-ret));
	}
	if (!ret)
		ret = start_threads(mount, why, why_len);
	if (!ret) {
		*out = mount;
		return 0;
	}
	mark_closed(mount);
	mount_free(mount);
	return ret;
}

int mount_serve(struct mount *mount)
{
	int ret;

	loop_join(mount->loop);
	file_redate_all(&mount->fs);
	control_stop(mount->control);
	loop_destroy(mount->loop);
	ret = mark_closed(mount);
	mount_free(mount);
	return ret;
}
