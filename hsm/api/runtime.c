/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hsm/api/runtime.h"

static int format_path(char *path, size_t len, const char *base, const char *rest)
{
	int n = snprintf(path, len, "%s%s", base, rest);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

/* A directory that others can write to could hold somebody else's socket. */
static int make_private(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(path, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	return 0;
}

/* mkdir -p of all but the last component. */
static int make_parents(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) && errno != EEXIST && access(path, F_OK)) {
			int ret = -errno;

			*p = '/';
			return ret;
		}
		*p = '/';
	}
	return 0;
}

static const char *environment(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

/* What is relative is to be ignored, says XDG's specification. */
static const char *absolute(const char *path)
{
	return path && *path == '/' ? path : NULL;
}

/* It would mean another directory to each of our processes. */
static int format_own(char *path, size_t len, const char *own)
{
	return absolute(own) ? format_path(path, len, own, "") : -EINVAL;
}

int runtime_dir(char *path, size_t len)
{
	const char *own = environment("HSMFS_RUNTIME_DIR");
	const char *xdg = absolute(environment("XDG_RUNTIME_DIR"));
	char run_user[64];
	int ret;

	snprintf(run_user, sizeof(run_user), "/run/user/%u", geteuid());
	if (own)
		ret = format_own(path, len, own);
	else if (xdg)
		ret = format_path(path, len, xdg, "/hsmfs");
	else if (!access(run_user, W_OK))
		ret = format_path(path, len, run_user, "/hsmfs");
	else {
		snprintf(run_user, sizeof(run_user), "/tmp/hsmfs-%u", geteuid());
		ret = format_path(path, len, run_user, "");
	}
	if (!ret)
		ret = make_parents(path);
	return ret ? ret : make_private(path);
}

int runtime_state_dir(char *path, size_t len)
{
	const char *own = environment("HSMFS_STATE_DIR");
	const char *xdg = absolute(environment("XDG_STATE_HOME"));
	const char *home = absolute(environment("HOME"));
	int ret;

	if (own)
		ret = format_own(path, len, own);
	else if (xdg)
		ret = format_path(path, len, xdg, "/hsmfs");
	else if (home)
		ret = format_path(path, len, home, "/.local/state/hsmfs");
	else
		return -ENOENT;
	if (!ret)
		ret = make_parents(path);
	return ret ? ret : make_private(path);
}

int runtime_socket_path(char *path, size_t len)
{
	int ret = runtime_dir(path, len);
	size_t used;

	if (ret)
		return ret;
	used = strlen(path);
	return format_path(path + used, len - used, "", "/hsmd.sock");
}

static int same_user(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return -errno;
	/* a system-wide hsmd runs as root or under its own uid in a directory of its own
	 */
	return peer.uid == geteuid() || peer.uid == 0 ? 0 : -EPERM;
}

int runtime_connect(char *why, size_t why_len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = -1, ret;

	ret = runtime_socket_path(addr.sun_path, sizeof(addr.sun_path));
	if (ret) {
		snprintf(why, why_len,
			 "the runtime directory cannot be used (%s); set "
			 "HSMFS_RUNTIME_DIR to a "
			 "short absolute path of a private directory",
			 strerror(-ret));
		return ret;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno
								  : same_user(fd);
	if (!ret)
		return fd;
	snprintf(why, why_len, "no hsmd answers on %s (%s)", addr.sun_path,
		 strerror(-ret));
	close(fd);
	return ret;
}
