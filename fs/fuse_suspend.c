/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_suspend.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/fuse_loop.h"
#include "fs/fuse_meta.h"
#include "fs/inode.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/names.h"

struct suspender {
	struct fs *fs;
	struct fuse_session *se;
	struct loop *loop;
	pthread_t thread; /* drops in the background */
	bool has_thread;
	bool (*stop)(struct suspender *); /* when the thread should not go on */
	int result; /* of the thread, once it does not drop any more */
	atomic_bool dropping;
	atomic_bool again; /* from the start, what was read meanwhile included */
};

enum { LOOK_MS = 1, LAST_DROP_MS = 200 };

/*
 * The kernel writes an inode's dirty pages to us before it drops them. Ends early when
 * @stop says so. 0 or the first error.
 */
static int drop_type(struct suspender *suspender, mode_t type,
		     bool (*stop)(struct suspender *))
{
	struct fs *fs = suspender->fs;
	struct inode **inodes;
	size_t nr;
	int ret = inode_all(fs, type, &inodes, &nr);

	/* no lock is held here: the kernel must not be spoken to with one */
	for (size_t i = 0; i < nr; i++) {
		if (!ret && !stop(suspender))
			ret = fuse_lowlevel_notify_inval_inode(suspender->se,
							       inodes[i]->id, 0, 0);
		/* ENOENT: the kernel has forgotten it */
		if (ret == -ENOENT)
			ret = 0;
		inode_release(fs, inodes[i]);
	}
	free(inodes);
	return ret;
}

/* Directories' pages hold names, symlinks' hold targets. */
static int drop_page_cache(struct suspender *suspender, bool (*stop)(struct suspender *))
{
	int ret = drop_type(suspender, S_IFREG, stop);

	if (!ret)
		ret = drop_type(suspender, S_IFDIR, stop);
	return ret ? ret : drop_type(suspender, S_IFLNK, stop);
}

static bool never(struct suspender *suspender)
{
	(void)suspender;
	return false;
}

static bool resumed(struct suspender *suspender)
{
	return link_epoch(suspender->fs->link) != 0;
}

static void *drop_thread(void *arg)
{
	struct suspender *suspender = arg;

	do {
		atomic_store(&suspender->again, false);
		suspender->result = drop_page_cache(suspender, suspender->stop);
		atomic_store(&suspender->dropping, false);
		/* who asked for more may have taken it for still dropping */
	} while (atomic_load(&suspender->again) &&
		 !atomic_exchange(&suspender->dropping, true));
	return NULL;
}

/* One at a time: a second one would wait for the same page. 0 or -errno. */
static int drop_in_background(struct suspender *suspender,
			      bool (*stop)(struct suspender *))
{
	int ret;

	atomic_store(&suspender->again, true);
	if (atomic_exchange(&suspender->dropping, true))
		return 0;
	if (suspender->has_thread)
		pthread_join(suspender->thread, NULL);
	suspender->stop = stop;
	ret = -pthread_create(&suspender->thread, NULL, drop_thread, suspender);
	suspender->has_thread = !ret;
	if (ret)
		atomic_store(&suspender->dropping, false);
	return ret;
}

/* 0, or -EKEYREVOKED when the keys go meanwhile: then it may wait for their return. */
static int wait_dropped(struct suspender *suspender)
{
	struct link *link = suspender->fs->link;

	while (atomic_load(&suspender->dropping)) {
		uint32_t epoch = link_epoch(link);
		struct pollfd hsm = {.fd = link_fd(link)};

		if (poll(&hsm, 1, LOOK_MS) > 0)
			link_lost(link, epoch);
		if (!link_epoch(link))
			return -EKEYREVOKED;
	}
	return 0;
}

/*
 * By another thread: should the keys go meanwhile, the kernel waits for pages until they
 * are back, and it is this thread that gets them back.
 */
static int drop_while_keyed(struct suspender *suspender)
{
	int ret = wait_dropped(suspender); /* what began when they were last lost */

	if (!ret)
		ret = drop_in_background(suspender, never);
	if (!ret)
		ret = wait_dropped(suspender);
	return ret ? ret : suspender->result;
}

struct suspender *suspend_create(struct fs *fs, struct fuse_session *se,
				 struct loop *loop)
{
	struct suspender *suspender = calloc(1, sizeof(*suspender));

	if (!suspender)
		return NULL;
	suspender->fs = fs;
	suspender->se = se;
	suspender->loop = loop;
	return suspender;
}

void suspend_destroy(struct suspender *suspender)
{
	if (suspender->has_thread)
		pthread_join(suspender->thread, NULL);
	free(suspender);
}

void suspend_lost(struct suspender *suspender)
{
	names_forget(suspender->fs->names);
	fuse_meta_forget_names();
	loop_wipe(suspender->loop);
	if (drop_in_background(suspender, resumed))
		log_warn("what the kernel has cached of the volume stays (no thread)");
}

/* Not for ever: what is being written or read waits until the keys are back. */
static void wait_last_drop(const struct suspender *suspender)
{
	for (int ms = 0; ms < LAST_DROP_MS && atomic_load(&suspender->dropping);
	     ms += LOOK_MS)
		usleep(LOOK_MS * 1000);
}

int suspend_volume(struct suspender *suspender)
{
	int ret;

	if (!link_epoch(suspender->fs->link))
		return -EALREADY;
	ret = drop_while_keyed(suspender);
	if (ret)
		return ret;
	ret = link_lock(suspender->fs->link);
	suspend_lost(suspender); /* what was read since it was dropped goes as well */
	wait_last_drop(suspender);
	return ret;
}
