/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_suspend.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/fuse_loop.h"
#include "fs/inode.h"
#include "fs/link.h"
#include "fs/names.h"

struct suspender {
	struct fs *fs;
	struct fuse_session *se;
	struct loop *loop;
	pthread_t thread; /* drops in the background */
	bool has_thread;
	atomic_bool dropping;
};

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

	drop_page_cache(suspender, resumed);
	atomic_store(&suspender->dropping, false);
	return NULL;
}

/* One at a time: a second one would wait for the same page. */
static void drop_in_background(struct suspender *suspender)
{
	if (atomic_exchange(&suspender->dropping, true))
		return;
	if (suspender->has_thread)
		pthread_join(suspender->thread, NULL);
	suspender->has_thread =
		!pthread_create(&suspender->thread, NULL, drop_thread, suspender);
	if (!suspender->has_thread)
		atomic_store(&suspender->dropping, false);
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
	loop_wipe(suspender->loop);
	drop_in_background(suspender);
}

int suspend_volume(struct suspender *suspender)
{
	int ret;

	if (!link_epoch(suspender->fs->link))
		return -EALREADY;
	ret = drop_page_cache(suspender, never);
	if (ret)
		return ret;
	ret = link_lock(suspender->fs->link);
	suspend_lost(suspender);
	return ret;
}
