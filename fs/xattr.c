/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/xattr.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/inode.h"
#include "fs/names.h"
#include "fs/sealer.h"
#include "fs/volume/name.h"
#include "fs/worker.h"
#include "hsm/api/secmem.h"

#define PLAIN_PREFIX   "user."
#define BACKING_PREFIX "user.hsmfs."

enum {
	PLAIN_PREFIX_LEN = sizeof(PLAIN_PREFIX) - 1,
	BACKING_PREFIX_LEN = sizeof(BACKING_PREFIX) - 1,
	NAME_MAX_BYTES = 255, /* of an attribute's name, to Linux */
	LIST_MAX_BYTES = 65536,
	SEALED_MAX = XATTR_VALUE_MAX + NAME_BLOB_OVERHEAD,
};

/* An attribute's name, sealed. */
struct sealed {
	char backing[NAME_MAX_BYTES + 1];
	/* what the value's seal is bound to: the name's seal is as good as the name */
	uint8_t context[PAGE_ID_BYTES];
};

/* Where the system calls on paths find an inode; they have no *at() forms yet. */
struct attr_path {
	struct inode_place place;
	char text[PATH_MAX];
};

static int seal_name(struct worker *w, const char *name, struct sealed *out)
{
	struct name_backing backing;
	uint8_t bytes[NAME_SEALED_MAX];
	int ret;

	if (strncmp(name, PLAIN_PREFIX, PLAIN_PREFIX_LEN))
		return -EOPNOTSUPP;
	name += PLAIN_PREFIX_LEN;
	if (!*name)
		return -EINVAL;
	ret = names_seal(w, SEALER_ATTRIBUTE, name, &backing);
	if (ret)
		return ret;
	if (*backing.side || strlen(backing.entry) > NAME_MAX_BYTES - BACKING_PREFIX_LEN)
		return -ERANGE;
	ret = name_base64_decode(backing.entry, bytes, sizeof(bytes));
	if (ret < (int)sizeof(out->context))
		return -EIO;
	memcpy(out->context, bytes, sizeof(out->context));
	memcpy(out->backing, BACKING_PREFIX, BACKING_PREFIX_LEN);
	memcpy(out->backing + BACKING_PREFIX_LEN, backing.entry,
	       strlen(backing.entry) + 1);
	return 0;
}

static int enter(struct worker *w, struct inode *inode, struct attr_path *path)
{
	int ret = inode_enter(worker_fs(w), inode, &path->place);

	if (ret)
		return ret;
	if (path->place.pinned)
		snprintf(path->text, sizeof(path->text), "%s", path->place.name);
	else
		snprintf(path->text, sizeof(path->text), "/proc/self/fd/%d/%s",
			 path->place.dirfd, path->place.name);
	return 0;
}

/* What the system call said, for the inode that was entered. */
static int leave(struct worker *w, struct attr_path *path, ssize_t result, int error)
{
	inode_leave(worker_fs(w), &path->place);
	if (result < 0)
		return error == ENOENT ? -ESTALE : -error;
	return (int)result;
}

/* The sealed value, or its length only when @out is NULL. */
static int read_sealed(struct worker *w, struct inode *inode, const char *backing,
		       uint8_t *out)
{
	size_t room = out ? SEALED_MAX : 0;
	struct attr_path path;
	ssize_t len;
	int ret = enter(w, inode, &path);

	if (ret)
		return ret;
	if (path.place.pinned)
		len = getxattr(path.text, backing, out, room);
	else
		len = lgetxattr(path.text, backing, out, room);
	ret = leave(w, &path, len, errno);
	if (ret == -ERANGE || (ret >= 0 && ret < NAME_BLOB_OVERHEAD) || ret > SEALED_MAX)
		return -EIO;
	return ret;
}

int xattr_get(struct worker *w, struct inode *inode, const char *name, void *value)
{
	uint8_t bytes[SEALED_MAX], opened[SEALED_MAX];
	struct sealer_item item = {.in = bytes, .out = opened};
	struct sealed sealed;
	int ret = seal_name(w, name, &sealed);

	if (!ret)
		ret = read_sealed(w, inode, sealed.backing, value ? bytes : NULL);
	if (ret < 0)
		return ret;
	if (!value)
		return ret - NAME_BLOB_OVERHEAD;
	item.in_len = (uint32_t)ret;
	ret = sealer_run(w, RING_BLOB_OPEN, sealed.context, &item, 1);
	if (!ret && (item.status || item.out_len != item.in_len - NAME_BLOB_OVERHEAD))
		ret = -EIO;
	if (!ret) {
		memcpy(value, opened, item.out_len);
		ret = (int)item.out_len;
	}
	secmem_wipe(opened, sizeof(opened));
	return ret;
}

int xattr_set(struct worker *w, struct inode *inode, const char *name, const void *value,
	      size_t len, int flags)
{
	uint8_t bytes[SEALED_MAX];
	struct sealer_item item = {.in = value, .out = bytes};
	struct attr_path path;
	struct sealed sealed;
	int ret = seal_name(w, name, &sealed);

	if (!ret && len > XATTR_VALUE_MAX)
		ret = -E2BIG;
	if (ret)
		return ret;
	item.in_len = (uint32_t)len;
	ret = sealer_run(w, RING_BLOB_SEAL, sealed.context, &item, 1);
	if (!ret && item.status)
		ret = -EIO;
	if (!ret)
		ret = enter(w, inode, &path);
	if (ret)
		return ret;
	if (path.place.pinned)
		ret = setxattr(path.text, sealed.backing, bytes, item.out_len, flags);
	else
		ret = lsetxattr(path.text, sealed.backing, bytes, item.out_len, flags);
	return leave(w, &path, ret, errno);
}

int xattr_remove(struct worker *w, struct inode *inode, const char *name)
{
	struct attr_path path;
	struct sealed sealed;
	int ret = seal_name(w, name, &sealed);

	if (!ret)
		ret = enter(w, inode, &path);
	if (ret)
		return ret;
	if (path.place.pinned)
		ret = removexattr(path.text, sealed.backing);
	else
		ret = lremovexattr(path.text, sealed.backing);
	return leave(w, &path, ret, errno);
}

static int read_list(struct worker *w, struct inode *inode, char *list)
{
	struct attr_path path;
	ssize_t len;
	int ret = enter(w, inode, &path);

	if (ret)
		return ret;
	if (path.place.pinned)
		len = listxattr(path.text, list, LIST_MAX_BYTES);
	else
		len = llistxattr(path.text, list, LIST_MAX_BYTES);
	return leave(w, &path, len, errno);
}

/* What names_open() gets and gives, for the names that are ours. */
struct names_batch {
	const char **backing, **full;
	char **plain;
	size_t nr;
};

static int batch_init(struct names_batch *batch, const char *list, size_t len)
{
	size_t most = len / (BACKING_PREFIX_LEN + 1) + 1;

	batch->nr = 0;
	batch->backing = calloc(most, sizeof(*batch->backing));
	batch->full = calloc(most, sizeof(*batch->full));
	batch->plain = calloc(most, sizeof(*batch->plain));
	if (!batch->backing || !batch->full || !batch->plain)
		return -ENOMEM;
	for (size_t at = 0; at < len; at += strlen(list + at) + 1) {
		const char *name = list + at;

		if (!strncmp(name, BACKING_PREFIX, BACKING_PREFIX_LEN) &&
		    name_classify(name + BACKING_PREFIX_LEN) == NAME_SHORT)
			batch->backing[batch->nr++] = name + BACKING_PREFIX_LEN;
	}
	return 0;
}

static void batch_fini(struct names_batch *batch)
{
	for (size_t i = 0; batch->plain && i < batch->nr; i++)
		free(batch->plain[i]);
	free(batch->backing);
	free(batch->full);
	free(batch->plain);
}

/* Never more than the backing list, whose names are longer. */
static int compose(const struct names_batch *batch, char *list)
{
	size_t len = 0;

	for (size_t i = 0; i < batch->nr; i++) {
		if (batch->plain[i])
			len += (size_t)sprintf(list + len, PLAIN_PREFIX "%s",
					       batch->plain[i]) +
			       1;
	}
	return (int)len;
}

int xattr_list(struct worker *w, struct inode *inode, char **list)
{
	char *raw = malloc(LIST_MAX_BYTES);
	struct names_batch batch = {0};
	int ret = raw ? read_list(w, inode, raw) : -ENOMEM;

	if (ret >= 0)
		ret = batch_init(&batch, raw, (size_t)ret);
	if (!ret && batch.nr)
		ret = names_open(w, SEALER_ATTRIBUTE, batch.backing, batch.full, batch.nr,
				 batch.plain);
	*list = ret ? NULL : malloc(LIST_MAX_BYTES);
	if (!ret)
		ret = *list ? compose(&batch, *list) : -ENOMEM;
	batch_fini(&batch);
	free(raw);
	return ret;
}
