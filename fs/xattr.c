/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/fs.h"
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
	LIST_MAX_BYTES = 65536,
	SEALED_MAX = XATTR_VALUE_MAX + NAME_BLOB_OVERHEAD,
};

/* Where a name is kept, and under which part of it. */
struct space {
	const uint8_t *context;
	const char *name;
};

/* An attribute's name, sealed. */
struct sealed {
	char backing[XATTR_NAME_MAX + 1];
	/* what the value's seal is bound to: the name's seal is as good as the name */
	uint8_t context[PAGE_ID_BYTES];
};

/* A system call on an attribute of an inode. */
struct call {
	enum { CALL_GET, CALL_SET, CALL_REMOVE, CALL_LIST } what;
	const char *name; /* not of CALL_LIST */
	void *value;	  /* CALL_SET does not change it */
	size_t len;
	int flags;
};

/* Where the system calls on paths find an inode; they have no *at() forms yet. */
struct attr_path {
	struct inode_place place;
	int fd; /* of the open file instead, or -1 */
	char text[PATH_MAX];
};

static int space_of(const struct fs *fs, const char *name, struct space *out)
{
	if (!strncmp(name, PLAIN_PREFIX, PLAIN_PREFIX_LEN)) {
		*out = (struct space){SEALER_ATTRIBUTE, name + PLAIN_PREFIX_LEN};
		return *out->name ? 0 : -EINVAL;
	}
	if (fs->acl &&
	    (!strcmp(name, XATTR_ACL_ACCESS) || !strcmp(name, XATTR_ACL_DEFAULT))) {
		*out = (struct space){SEALER_SYSTEM, name};
		return 0;
	}
	return -EOPNOTSUPP;
}

static int seal_name(struct worker *w, const char *name, struct sealed *out)
{
	struct name_backing backing;
	uint8_t bytes[NAME_SEALED_MAX];
	struct space space;
	int ret = space_of(worker_fs(w), name, &space);

	if (!ret)
		ret = names_seal(w, space.context, space.name, &backing);
	if (ret)
		return ret;
	if (*backing.side || strlen(backing.entry) > XATTR_NAME_MAX - BACKING_PREFIX_LEN)
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
	path->fd = -1;
	if (path->place.pinned)
		snprintf(path->text, sizeof(path->text), "%s", path->place.name);
	else
		snprintf(path->text, sizeof(path->text), "/proc/self/fd/%d/%s",
			 path->place.dirfd, path->place.name);
	return 0;
}

/* What is open, in a directory that may not be searched any more. */
static int enter_open(struct worker *w, struct inode *inode, struct attr_path *path)
{
	path->fd = inode_dup_open(worker_fs(w), inode);
	if (path->fd < 0)
		return path->fd == -ESTALE ? -EACCES : path->fd;
	snprintf(path->text, sizeof(path->text), "/proc/self/fd/%d", path->fd);
	path->place = (struct inode_place){
		.dirfd = AT_FDCWD, .name = path->text, .pinned = true};
	return 0;
}

/* What the system call said, for the inode that was entered. */
static int leave(struct worker *w, struct attr_path *path, ssize_t result, int error)
{
	if (path->fd < 0)
		inode_leave(worker_fs(w), &path->place);
	else
		close(path->fd);
	if (result < 0)
		return error == ENOENT ? -ESTALE : -error;
	return (int)result;
}

static ssize_t call_once(const struct call *c, const char *path, bool follow)
{
	switch (c->what) {
	case CALL_GET:
		return (follow ? getxattr : lgetxattr)(path, c->name, c->value, c->len);
	case CALL_SET:
		return (follow ? setxattr : lsetxattr)(path, c->name, c->value, c->len,
						       c->flags);
	case CALL_LIST:
		return (follow ? listxattr : llistxattr)(path, c->value, c->len);
	default:
		return (follow ? removexattr : lremovexattr)(path, c->name);
	}
}

/* Again, with the owner's right to read and write lent for the moment. */
static ssize_t call_lent(const struct call *c, const struct inode_place *place)
{
	int fd = openat(place->dirfd, place->name,
			O_PATH | O_CLOEXEC | (place->pinned ? 0 : O_NOFOLLOW));
	ssize_t result = -1;
	int error = EACCES;
	struct stat st;
	char proc[32];

	if (fd < 0)
		return -1;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (!fstat(fd, &st) && !S_ISLNK(st.st_mode) &&
	    !chmod(proc, (st.st_mode & 07777) | S_IRUSR | S_IWUSR)) {
		result = call_once(c, proc, true);
		error = errno;
		if (chmod(proc, st.st_mode & 07777)) {
			result = -1;
			error = EIO;
		}
	}
	close(fd);
	errno = error;
	return result;
}

/* Leaves @path. */
static int call_at(struct worker *w, const struct call *c, struct attr_path *path)
{
	ssize_t result = call_once(c, path->text, path->place.pinned);

	if (result < 0 && errno == EACCES)
		result = call_lent(c, &path->place);
	return leave(w, path, result, errno);
}

static int run(struct worker *w, struct inode *inode, const struct call *c)
{
	struct attr_path path;
	int ret = enter(w, inode, &path);

	if (!ret)
		ret = call_at(w, c, &path);
	if (ret != -EACCES)
		return ret;
	ret = enter_open(w, inode, &path);
	return ret ? ret : call_at(w, c, &path);
}

/* The sealed value, or its length only when @out is NULL. */
static int read_sealed(struct worker *w, struct inode *inode, const char *backing,
		       uint8_t *out)
{
	struct call call = {CALL_GET, backing, out, out ? SEALED_MAX : 0, 0};
	int ret = run(w, inode, &call);

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

int xattr_seal(struct worker *w, const char *name, const void *value, size_t len,
	       struct xattr_sealed *out)
{
	struct sealer_item item = {.in = value, .out = out->value};
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
	memcpy(out->name, sealed.backing, sizeof(out->name));
	out->len = item.out_len;
	return ret;
}

int xattr_put(const char *path, const struct xattr_sealed *sealed)
{
	return setxattr(path, sealed->name, sealed->value, sealed->len, 0) ? -errno : 0;
}

int xattr_set(struct worker *w, struct inode *inode, const char *name, const void *value,
	      size_t len, int flags)
{
	struct xattr_sealed sealed;
	struct call call = {CALL_SET, sealed.name, sealed.value, 0, flags};
	int ret = xattr_seal(w, name, value, len, &sealed);

	call.len = sealed.len;
	return ret ? ret : run(w, inode, &call);
}

int xattr_remove(struct worker *w, struct inode *inode, const char *name)
{
	struct sealed sealed;
	struct call call = {CALL_REMOVE, sealed.backing, NULL, 0, 0};
	int ret = seal_name(w, name, &sealed);

	return ret ? ret : run(w, inode, &call);
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
	for (size_t i = 0; batch->plain && i < batch->nr; i++) {
		if (batch->plain[i])
			secmem_wipe(batch->plain[i], strlen(batch->plain[i]));
		free(batch->plain[i]);
	}
	free(batch->backing);
	free(batch->full);
	free(batch->plain);
}

/* Adds the names of the ACLs there are. */
static int add_system(struct worker *w, const struct names_batch *batch, char *list)
{
	static const char *const names[] = {XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT};
	struct sealed sealed;
	size_t len = 0;

	for (size_t n = 0; worker_fs(w)->acl && n < 2; n++) {
		int ret = seal_name(w, names[n], &sealed);

		if (ret)
			return ret;
		for (size_t i = 0; i < batch->nr; i++) {
			if (!strcmp(batch->backing[i],
				    sealed.backing + BACKING_PREFIX_LEN))
				len += (size_t)sprintf(list + len, "%s", names[n]) + 1;
		}
	}
	return (int)len;
}

/* Never more than the backing list, whose names are longer. */
static int compose(struct worker *w, const struct names_batch *batch, char *list)
{
	int ret = add_system(w, batch, list);
	size_t len = ret < 0 ? 0 : (size_t)ret;

	if (ret < 0)
		return ret;

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
	struct call call = {CALL_LIST, NULL, raw, LIST_MAX_BYTES, 0};
	struct names_batch batch = {0};
	int ret = raw ? run(w, inode, &call) : -ENOMEM;

	if (ret >= 0)
		ret = batch_init(&batch, raw, (size_t)ret);
	if (!ret && batch.nr)
		ret = names_open(w, SEALER_ATTRIBUTE, batch.backing, batch.full, batch.nr,
				 batch.plain);
	*list = ret ? NULL : malloc(LIST_MAX_BYTES);
	if (!ret)
		ret = *list ? compose(w, &batch, *list) : -ENOMEM;
	batch_fini(&batch);
	free(raw);
	return ret;
}
