/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_xattr.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/acl.h"
#include "fs/fs.h"
#include "fs/fuse_entry.h"
#include "fs/xattr.h"
#include "hsm/api/secmem.h"

/* @ret bytes at @bytes for a caller with @room for them, who may only want the length. */
static void reply_bytes(fuse_req_t req, int ret, const char *bytes, size_t room)
{
	if (ret < 0)
		fuse_reply_err(req, -ret);
	else if (!room)
		fuse_reply_xattr(req, (size_t)ret);
	else if ((size_t)ret > room)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, bytes, (size_t)ret);
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct worker *w = fuse_entry_worker(req);
	struct inode *inode = fuse_entry_inode(w->fs, ino);
	char value[XATTR_VALUE_MAX], *wanted = size ? value : NULL;
	int ret = acl_is_name(w->fs, name) ? acl_get(w, inode, name, wanted)
					   : xattr_get(w, inode, name, wanted);

	reply_bytes(req, ret, value, size);
	if (size && ret > 0)
		secmem_wipe(value, (size_t)ret);
}

static void do_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	struct worker *w = fuse_entry_worker(req);
	struct inode *inode = fuse_entry_inode(w->fs, ino);
	int ret;

	if (acl_is_name(w->fs, name))
		ret = acl_set(w, inode, name, value, size,
			      w->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID);
	else
		ret = xattr_set(w, inode, name, value, size, flags);
	fuse_reply_err(req, -ret);
}

static void do_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct worker *w = fuse_entry_worker(req);
	char *list;
	int ret = xattr_list(w, fuse_entry_inode(w->fs, ino), &list);

	reply_bytes(req, ret, list, size);
	if (ret > 0)
		secmem_wipe(list, (size_t)ret);
	free(list);
}

static void do_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct worker *w = fuse_entry_worker(req);

	fuse_reply_err(req, -xattr_remove(w, fuse_entry_inode(w->fs, ino), name));
}

void fuse_xattr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = do_getxattr;
	ops->setxattr = do_setxattr;
	ops->listxattr = do_listxattr;
	ops->removexattr = do_removexattr;
}
