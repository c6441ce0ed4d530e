/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/store.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mkfs/say.h"
#include "mkfs/volume.h"

/* FAT, exFAT and some network shares; each has its own error. */
static int lacks_symlinks(int error)
{
	return error == EPERM || error == EOPNOTSUPP || error == ENOSYS ||
	       error == EINVAL;
}

int store_check(const struct volume *volume)
{
	static const char probe[] = ".hsmfs.probe";

	if (symlinkat(probe, volume->dirfd, probe) < 0) {
		if (lacks_symlinks(errno))
			return say_error(EXIT_INVALID,
					 "The file system of %s has no symbolic links, "
					 "which a volume needs; choose a directory on "
					 "another one.",
					 volume->path);
		return say_error(say_code(-errno), "Cannot make a volume in %s: %s.",
				 volume->path, strerror(errno));
	}
	if (unlinkat(volume->dirfd, probe, 0) < 0)
		return say_error(say_code(-errno), "Cannot remove %s/%s again: %s.",
				 volume->path, probe, strerror(errno));
	return 0;
}
