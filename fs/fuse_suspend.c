/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_suspend.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/link.h"
#include "fs/names.h"

/* Referenced inodes, collected before the kernel is spoken to: that must hold no lock. */
struct inode_list {
	struct fs *fs;
	struct inode **items;
	size_t nr, room;
	int error;
};

static void collect(struct inode *inode, void *arg)
{
	struct inode_list *list = arg;

	if (!S_ISREG(inode->type))
		return;
	if (list->nr == list->room) {
		size_t room = list->room ? 2 * list->room : 1024;
		struct inode **items = realloc(list->items, room * sizeof(*items));

		if (!items) {
			list->error = -ENOMEM;
			return;
		}
		list->items = items;
		list->room = room;
	}
	inode_hold(list->fs, inode);
	list->items[list->nr++] = inode;
}

/* The kernel writes an inode's dirty pages to us before it drops them. */
static int drop_page_cache(struct fs *fs, struct fuse_session *se)
{
	struct inode_list list = {.fs = fs};
	int ret;

	inode_visit(fs, collect, &list);
	ret = list.error;
	for (size_t i = 0; i < list.nr; i++) {
		if (!ret)
			ret = fuse_lowlevel_notify_inval_inode(
				se, (fuse_ino_t)(uintptr_t)list.items[i], 0, 0);
		/* ENOENT: the kernel has forgotten it */
		if (ret == -ENOENT)
			ret = 0;
		inode_release(fs, list.items[i]);
	}
	free(list.items);
	return ret;
}

int suspend_volume(struct fs *fs, struct fuse_session *se)
{
	int ret;

	if (!link_epoch(fs->link))
		return -EALREADY;
	ret = drop_page_cache(fs, se);
	if (ret)
		return ret;
	ret = link_lock(fs->link);
	names_forget(fs->names);
	return ret;
}
