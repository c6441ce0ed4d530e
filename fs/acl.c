/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/acl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/acl_value.h"
#include "fs/attr.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/worker.h"

bool acl_is_name(const struct fs *fs, const char *name)
{
	return fs->acl &&
	       (!strcmp(name, XATTR_ACL_ACCESS) || !strcmp(name, XATTR_ACL_DEFAULT));
}

int acl_get(struct worker *w, struct inode *inode, const char *name, void *value)
{
	int ret = xattr_get(w, inode, name, value);

	return ret == -EOPNOTSUPP ? -ENODATA : ret;
}

static int set_access(struct worker *w, struct inode *inode, const void *value,
		      size_t len, bool kill_setgid)
{
	struct stat st;
	mode_t mode;
	bool more;
	int ret = attr_get(w, inode, &st);

	if (ret)
		return ret;
	mode = (st.st_mode & 07000) | acl_mode(value, len, &more);
	if (kill_setgid)
		mode &= ~(mode_t)S_ISGID;
	if (more)
		ret = xattr_set(w, inode, XATTR_ACL_ACCESS, value, len, 0);
	else
		ret = xattr_remove(w, inode, XATTR_ACL_ACCESS);
	if (ret && (more || (ret != -ENODATA && ret != -EOPNOTSUPP)))
		return ret;
	return mode == (st.st_mode & 07777) ? 0 : attr_chmod(w, inode, mode);
}

int acl_set(struct worker *w, struct inode *inode, const char *name, const void *value,
	    size_t len, bool kill_setgid)
{
	/* the kernel gives nothing else, but it is kept */
	if (!acl_is_valid(value, len))
		return -EINVAL;
	if (!S_ISREG(inode->type) && !S_ISDIR(inode->type))
		return -EOPNOTSUPP; /* the attributes it would be kept in */
	if (!strcmp(name, XATTR_ACL_ACCESS))
		return set_access(w, inode, value, len, kill_setgid);
	if (!S_ISDIR(inode->type))
		return -EACCES;
	return xattr_set(w, inode, name, value, len, 0);
}

/* The value's length, 0 when there is none, -errno. */
static int get(struct worker *w, struct inode *inode, const char *name,
	       char value[XATTR_VALUE_MAX])
{
	int ret = acl_get(w, inode, name, value);

	if (ret == -ENODATA)
		return 0;
	return ret < 0 || acl_is_valid(value, (size_t)ret) ? ret : -EIO;
}

int acl_follow_mode(struct worker *w, struct inode *inode, mode_t mode)
{
	char value[XATTR_VALUE_MAX];
	int len;

	if (!worker_fs(w)->acl || (!S_ISREG(inode->type) && !S_ISDIR(inode->type)))
		return 0;
	len = get(w, inode, XATTR_ACL_ACCESS, value);
	if (len <= 0)
		return len;
	acl_chmod(value, (size_t)len, mode);
	return xattr_set(w, inode, XATTR_ACL_ACCESS, value, (size_t)len, 0);
}

int acl_prepare(struct worker *w, struct inode *dir, mode_t mode, mode_t umask,
		struct acl_heritage *out)
{
	char value[XATTR_VALUE_MAX];
	int len, ret = 0;
	bool more;

	out->nr = 0;
	out->mode = mode;
	if (!worker_fs(w)->acl)
		return 0;
	len = get(w, dir, XATTR_ACL_DEFAULT, value);
	if (len <= 0) {
		out->mode = mode & ~umask;
		return len;
	}
	if (!S_ISREG(mode) && !S_ISDIR(mode)) {
		out->mode = acl_without(value, (size_t)len, mode);
		return 0;
	}
	if (S_ISDIR(mode))
		ret = xattr_seal(w, XATTR_ACL_DEFAULT, value, (size_t)len,
				 &out->sealed[out->nr++]);
	out->mode = acl_inherit(value, (size_t)len, mode, &more);
	if (!ret && more)
		ret = xattr_seal(w, XATTR_ACL_ACCESS, value, (size_t)len,
				 &out->sealed[out->nr++]);
	return ret;
}

mode_t acl_first_mode(const struct acl_heritage *heritage)
{
	if (!heritage->nr)
		return heritage->mode;
	return (heritage->mode & ~(mode_t)0077) | S_IRUSR | S_IWUSR;
}

/* @path is a link in /proc to what is open, so it is the same all the time. */
static int give_all(const char *path, const struct acl_heritage *heritage)
{
	mode_t mode = heritage->mode & 07777;
	struct stat st;

	for (unsigned i = 0; i < heritage->nr; i++) {
		int ret = xattr_put(path, &heritage->sealed[i]);

		if (ret)
			return ret;
	}
	if (stat(path, &st))
		return -errno;
	if (S_ISDIR(st.st_mode)) /* it has it from the one above */
		mode |= st.st_mode & S_ISGID;
	return chmod(path, mode) ? -errno : 0;
}

int acl_give(int dirfd, const char *entry, const struct acl_heritage *heritage)
{
	char path[32];
	int fd = dirfd, ret;

	if (!heritage->nr)
		return 0;
	if (entry)
		fd = openat(dirfd, entry, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ret = give_all(path, heritage);
	if (entry)
		close(fd);
	return ret;
}
