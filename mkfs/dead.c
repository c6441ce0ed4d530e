/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/dead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "mkfs/launch.h"
#include "mkfs/mounts.h"
#include "mkfs/say.h"

bool dead_is(pid_t pid)
{
	char path[32], line[512] = "";
	const char *name_end;
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	stat = fopen(path, "re");
	if (!stat)
		return false;
	/* PID (NAME) STATE ..., see proc(5) */
	name_end = fgets(line, sizeof(line), stat) ? strrchr(line, ')') : NULL;
	fclose(stat);
	return name_end && !strncmp(name_end, ") Z", 3);
}

/* What is mounted on @path may be another's by the time that the file is open. */
static int abort_connection(const char *path)
{
	struct mount_entry entry, now;
	char file[64];
	int fd, rc = mounts_find(path, &entry);

	if (rc != 1)
		return rc < 0 ? rc : -ENOENT;
	snprintf(file, sizeof(file), "/sys/fs/fuse/connections/%u/abort",
		 entry.connection);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = mounts_find(path, &now);
	if (rc == 1 && now.is_hsmfs && now.connection == entry.connection)
		rc = write(fd, "1", 1) < 0 ? -errno : 0;
	else
		rc = -ESTALE;
	close(fd);
	return rc;
}

int dead_unmount(const char *path)
{
	char why[256] = "";
	int rc;

	if (geteuid() == 0) {
		/* for FUSE, force is the end of the connection */
		rc = umount2(path, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno
										 : 0;
	} else {
		rc = abort_connection(path);
		if (rc < 0)
			return say_error(
				EXIT_BUSY,
				"The hsmfs that served %s was killed while the volume "
				"was suspended, and its connection cannot be ended from "
				"here (%s); as root, umount -fl %s does it.",
				path, strerror(-rc), path);
		rc = launch_unmount(path, true, why, sizeof(why));
	}
	if (rc < 0)
		return say_error(say_code(rc), "Cannot unmount %s: %s.", path,
				 *why ? why : strerror(-rc));
	return 0;
}
