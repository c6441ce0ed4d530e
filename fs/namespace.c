/* SPDX-License-Identifier: Apache-2.0 */
/* Looking names up, and links. */
#include "fs/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/dirid.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/names.h"
#include "fs/ns.h"
#include "fs/sealer.h"
#include "fs/worker.h"

int ns_seal(struct worker *w, struct inode *dir, const char *plain, struct ns_name *out)
{
	int ret;

	if (strlen(plain) > NAME_PLAIN_MAX)
		return -ENAMETOOLONG;
	out->dir = dir;
	ret = dirid_get(w, dir, out->id);
	return ret ? ret : names_seal(w, out->id, plain, &out->backing);
}

int ns_seal_new(struct worker *w, struct inode *dir, const char *plain,
		struct ns_name *out)
{
	int ret;

	if (strlen(plain) > NAME_PLAIN_MAX)
		return -ENAMETOOLONG;
	out->dir = dir;
	ret = dirid_make(w, dir, out->id);
	return ret ? ret : names_seal(w, out->id, plain, &out->backing);
}

int ns_entry_at(struct fs *fs, struct inode *dir, int dirfd, const char *entry,
		struct ns_entry *out)
{
	int ret = inode_get(fs, dir, dirfd, entry, &out->attr, &out->inode);

	if (!ret)
		inode_plain(&out->attr);
	return ret;
}

int ns_lookup(struct worker *w, struct inode *dir, const char *name, struct ns_entry *out)
{
	struct fs *fs = worker_fs(w);
	struct ns_name sealed;
	int ret = ns_seal(w, dir, name, &sealed), fd;

	if (ret)
		return ret;
	pthread_rwlock_rdlock(&fs->tree);
	fd = inode_borrow(fs, dir);
	if (fd >= 0) {
		ret = ns_entry_at(fs, dir, fd, sealed.backing.entry, out);
		inode_return(fs, dir);
	} else {
		ret = fd;
	}
	pthread_rwlock_unlock(&fs->tree);
	return ret;
}

static bool side_is_right(int dirfd, const struct name_backing *name)
{
	char target[NAME_TEXT_MAX + 1];
	ssize_t len = readlinkat(dirfd, name->side, target, sizeof(target));

	return len >= 0 && (size_t)len == strlen(name->full) &&
	       !memcmp(target, name->full, (size_t)len);
}

int ns_side_make(int dirfd, const struct name_backing *name, bool *made)
{
	*made = false;
	if (!*name->side)
		return 0;
	if (symlinkat(name->full, dirfd, name->side)) {
		if (errno != EEXIST)
			return -errno;
		if (side_is_right(dirfd, name))
			return 0;
		/* Somebody spoilt it; we know what must be there. */
		if (unlinkat(dirfd, name->side, 0) ||
		    symlinkat(name->full, dirfd, name->side))
			return -errno;
	}
	*made = true;
	return 0;
}

void ns_side_remove(int dirfd, const struct name_backing *name)
{
	if (*name->side)
		unlinkat(dirfd, name->side, 0);
}

static int read_target(struct fs *fs, struct inode *inode, char text[PATH_MAX])
{
	struct inode_place place;
	ssize_t len;
	int ret;

	if (!S_ISLNK(inode->type))
		return -EINVAL;
	ret = inode_enter(fs, inode, &place);
	if (ret)
		return ret;
	if (place.pinned)
		len = readlinkat(inode->pin_fd, "", text, PATH_MAX);
	else
		len = readlinkat(place.dirfd, place.name, text, PATH_MAX);
	ret = len < 0 ? -errno : len == PATH_MAX ? -EIO : 0;
	inode_leave(fs, &place);
	if (ret == -ENOENT || ret == -EINVAL)
		return -ESTALE;
	if (!ret)
		text[len] = '\0';
	return ret;
}

int ns_readlink(struct worker *w, struct inode *inode, char **target)
{
	uint8_t sealed[PATH_MAX];
	struct sealer_item item = {.in = sealed};
	char text[PATH_MAX];
	int ret = read_target(worker_fs(w), inode, text), len;

	if (ret)
		return ret;
	len = name_base64_decode(text, sealed, sizeof(sealed));
	if (len <= NAME_BLOB_OVERHEAD)
		return -EIO;
	item.in_len = (uint32_t)len;
	item.out = calloc(1, (size_t)len);
	if (!item.out)
		return -ENOMEM;
	ret = sealer_run(w, RING_BLOB_OPEN, SEALER_SYMLINK, &item, 1);
	if (!ret && (item.status || item.out_len >= (uint32_t)len ||
		     memchr(item.out, 0, item.out_len)))
		ret = -EIO;
	if (ret) {
		log_warn("symlink %llu of the volume cannot be read: %s",
			 (unsigned long long)inode->ino, strerror(-ret));
		free(item.out);
		return ret;
	}
	*target = item.out; /* shorter than its seal, so it ends with a NUL */
	return 0;
}
