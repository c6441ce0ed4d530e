/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse_park.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/killed.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/park.h"

enum { STATX = 52 }; /* Debian 12's <linux/fuse.h> does not have it */

/* `ls -l` asks each entry for attributes of which we know without a key that there are
 * none. */
static bool attribute_needs_key(const struct fs *fs, const struct fuse_in_header *header)
{
	const char *name = (const char *)(header + 1) + sizeof(struct fuse_getxattr_in);
	size_t len = header->len - sizeof(*header) - sizeof(struct fuse_getxattr_in);

	return fs->acl || (len >= 5 && !memcmp(name, "user.", 5));
}

/*
 * Requests that can be served while no key is there. Unmounting must be possible then:
 * the kernel writes back times and waits for that.
 */
static bool needs_key(const struct fs *fs, const struct fuse_in_header *header)
{
	const struct fuse_setattr_in *setattr = (const void *)(header + 1);

	switch (header->opcode) {
	case FUSE_SETATTR:
		return setattr->valid & (FATTR_SIZE | (fs->acl ? FATTR_MODE : 0));
	case FUSE_GETXATTR:
		return attribute_needs_key(fs, header);
	case STATX: /* which is refused; then the kernel asks otherwise */
	case FUSE_INIT:
	case FUSE_DESTROY:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_GETATTR:
	case FUSE_STATFS:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return false;
	default:
		return true;
	}
}

static void answer_interrupted(int fuse_fd, uint64_t unique)
{
	struct fuse_out_header out = {sizeof(out), -EINTR, unique};

	/* ENOENT: the kernel has given the request up */
	if (write(fuse_fd, &out, sizeof(out)) < 0 && errno != ENOENT)
		log_warn("answering an interrupted request failed (%s)", strerror(errno));
}

static bool is_dying(const struct parked *parked)
{
	const struct fuse_in_header *header = (const void *)parked->message;

	return killed_is_dying((pid_t)header->pid);
}

void fuse_park_answer_dying(struct park *park, int fuse_fd)
{
	struct parked *parked;

	while ((parked = park_take_if(park, is_dying))) {
		answer_interrupted(fuse_fd, parked->unique);
		park_free(parked);
	}
}

bool fuse_park_request(struct park *park, const struct fs *fs, int fuse_fd,
		       const void *message, size_t len)
{
	const struct fuse_in_header *header = message;
	const struct fuse_interrupt_in *interrupt = (const void *)(header + 1);
	struct parked *parked;
	int ret;

	if (header->opcode == FUSE_INTERRUPT) {
		parked = park_take_unique(park, interrupt->unique);
		if (!parked)
			return false;
		answer_interrupted(fuse_fd, parked->unique);
		park_free(parked);
		return true;
	}
	if (link_epoch(fs->link) || !needs_key(fs, header))
		return false;
	ret = park_add(park, header->unique, message, len);
	if (ret == -EINTR)
		answer_interrupted(fuse_fd, header->unique);
	return ret != -ENOMEM;
}

ssize_t fuse_park_take(struct park *park, const struct fs *fs, void *buf)
{
	struct parked *parked;
	ssize_t len;

	if (park_is_empty(park) || !link_epoch(fs->link))
		return -EAGAIN;
	parked = park_take(park);
	if (!parked)
		return -EAGAIN;
	memcpy(buf, parked->message, parked->len);
	len = (ssize_t)parked->len;
	park_free(parked);
	return len;
}
