/* SPDX-License-Identifier: Apache-2.0 */
/* close: unmount, and return only when everything is on disk and the volume is free. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "fs/volume/mountctl.h"
#include "mkfs/cmd.h"
#include "mkfs/control.h"
#include "mkfs/dead.h"
#include "mkfs/launch.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

enum { PATIENCE_MS = 30000, BUSY_TRIES = 10, BUSY_WAIT_US = 100000 };

/*
 * The process that serves @path, as a descriptor that names it even after its death; -1
 * when there is none (it has died, or is another user's).
 */
static int find_process(const char *path, pid_t *pid)
{
	*pid = 0;
	mountctl_server(path, CONTROL_QUICK_MS, pid);
	return *pid > 0 ? pidfd_open(*pid, 0) : -1;
}

static int unmount_once(const char *path, char *why, size_t why_len)
{
	if (geteuid() == 0)
		return umount2(path, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	return launch_unmount(path, false, why, why_len);
}

static int unmount(const char *path)
{
	char why[256] = "";
	int rc = unmount_once(path, why, sizeof(why));

	/* somebody's df is enough to make it busy for a moment */
	for (int tries = BUSY_TRIES; rc == -EBUSY && tries; tries--) {
		usleep(BUSY_WAIT_US);
		rc = unmount_once(path, why, sizeof(why));
	}
	if (rc == -EBUSY)
		return say_error(
			EXIT_BUSY,
			"%s is in use: leave it and close its files (fuser -vm %s "
			"lists who has them), then try again.",
			path, path);
	if (rc < 0)
		return say_error(say_code(rc), "Cannot unmount %s: %s.", path,
				 *why ? why : strerror(-rc));
	return 0;
}

/*
 * The descriptor of a process becomes readable when it ends. As long as umount(8) waits
 * for what is dirty: a slow store is no error, and not to be used before.
 */
static int wait_for_end(const char *path, int process)
{
	struct pollfd poll_fd = {.fd = process, .events = POLLIN};
	int rc, patience = PATIENCE_MS;

	while ((rc = poll(&poll_fd, 1, patience)) <= 0) {
		if (rc < 0 && errno != EINTR)
			return say_error(say_code(-errno), "Cannot wait for hsmfs: %s.",
					 strerror(errno));
		if (rc < 0)
			continue;
		say_error(0,
			  "%s is unmounted; waiting for hsmfs, which is still writing to "
			  "the volume.",
			  path);
		patience = -1;
	}
	return 0;
}

int cmd_close(char *const args[], const struct options *options)
{
	char path[PATH_MAX];
	bool is_dead;
	pid_t pid;
	int process, code = control_require(args[0], path);

	(void)options;
	if (code)
		return code;
	process = find_process(path, &pid);
	is_dead = process >= 0 && dead_is(pid);
	code = is_dead ? dead_unmount(path) : unmount(path);
	if (code == 0 && process >= 0)
		code = wait_for_end(path, process);
	if (process >= 0)
		close(process);
	if (code == 0 && is_dead)
		return say_error(
			EXIT_INVALID,
			"%s is unmounted, but hsmfs had been killed while the volume was "
			"suspended: what was not yet written to the volume is lost.",
			path);
	return code;
}
