/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/volume/mountctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "fs/volume/hex.h"
#include "hsm/api/runtime.h"
#include "hsm/api/secmem.h"

enum {
	HASH_BYTES = 16,
	SERVER_TIMEOUT_MS = 1000, /* a client that is slower is not hsmsetup */
	ERRNO_MAX = 4095,	  /* the kernel's */
};

static int mounts_dir(char *path, size_t len)
{
	char runtime[PATH_MAX];
	int rc = runtime_dir(runtime, sizeof(runtime));

	if (rc < 0)
		return rc;
	rc = snprintf(path, len, "%s/mounts", runtime);
	return (size_t)rc < len ? 0 : -ENAMETOOLONG;
}

int mountctl_path(const char *mountpoint, char *path, size_t len)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	char text[2 * HASH_BYTES + 1];
	char dir[PATH_MAX];
	int rc = mounts_dir(dir, sizeof(dir));

	if (rc < 0)
		return rc;
	if (!EVP_Digest(mountpoint, strlen(mountpoint), hash, NULL, EVP_sha256(), NULL))
		return -ENOMEM;
	hex_encode(hash, HASH_BYTES, text);
	rc = snprintf(path, len, "%s/%s.sock", dir, text);
	return (size_t)rc < len ? 0 : -ENAMETOOLONG;
}

static int make_address(const char *mountpoint, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	return mountctl_path(mountpoint, address->sun_path, sizeof(address->sun_path));
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/* Bounds connect(), send() and recv() alike. */
static int set_timeout(int fd, int timeout_ms)
{
	struct timeval timeout = {
		.tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000,
	};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	return 0;
}

static int check_peer(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	return peer.uid == geteuid() ? 0 : -EPERM;
}

static int timed_out(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK ? -ETIMEDOUT : -error;
}

static int connect_to(const struct sockaddr_un *address, int timeout_ms)
{
	int fd = open_socket();
	int rc;

	if (fd < 0)
		return fd;
	rc = set_timeout(fd, timeout_ms);
	if (rc == 0 &&
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		rc = timed_out(errno);
	if (rc == 0)
		rc = check_peer(fd);
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

/* --- messages -------------------------------------------------------------------- */

/* A message may hold a ticket: every buffer of one is secret memory. */
static int send_json(int fd, const json_t *json)
{
	char *text = secmem_alloc(MOUNTCTL_MESSAGE_MAX);
	size_t len;
	ssize_t n;
	int rc = 0;

	if (!text)
		return -ENOMEM;
	len = json_dumpb(json, text, MOUNTCTL_MESSAGE_MAX, JSON_COMPACT);
	if (len == 0 || len > MOUNTCTL_MESSAGE_MAX) {
		rc = -EMSGSIZE;
		goto out;
	}
	do {
		n = send(fd, text, len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		rc = timed_out(errno);
out:
	secmem_free(text);
	return rc;
}

static int receive_json(int fd, json_t **json)
{
	char *text = secmem_alloc(MOUNTCTL_MESSAGE_MAX);
	ssize_t n;
	int rc = 0;

	*json = NULL;
	if (!text)
		return -ENOMEM;
	do {
		/* MSG_TRUNC: the true length, so that a longer message is seen as such.
		 */
		n = recv(fd, text, MOUNTCTL_MESSAGE_MAX, MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		rc = timed_out(errno);
	else if (n > 0 && n <= MOUNTCTL_MESSAGE_MAX)
		*json = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (rc == 0 && !json_is_object(*json)) {
		json_decref(*json);
		*json = NULL;
		rc = -EPROTO;
	}
	secmem_free(text);
	return rc;
}

/* An errno, negated, or 0. */
static bool has_status(const json_t *reply)
{
	const json_t *status = json_object_get(reply, "status");
	json_int_t value = json_integer_value(status);

	return json_is_integer(status) && value <= 0 && value >= -ERRNO_MAX;
}

static int call(const struct sockaddr_un *address, const struct json_t *request,
		int timeout_ms, struct json_t **reply)
{
	int rc, fd = connect_to(address, timeout_ms);

	*reply = NULL;
	if (fd < 0)
		return fd;
	rc = send_json(fd, request);
	if (rc == 0)
		rc = receive_json(fd, reply);
	if (rc == 0 && !has_status(*reply)) {
		json_decref(*reply);
		*reply = NULL;
		rc = -EPROTO;
	}
	close(fd);
	return rc;
}

int mountctl_call(const char *mountpoint, const struct json_t *request, int timeout_ms,
		  struct json_t **reply)
{
	struct sockaddr_un address;
	int rc = make_address(mountpoint, &address);

	*reply = NULL;
	return rc < 0 ? rc : call(&address, request, timeout_ms, reply);
}

/* What lies in @dir as @name, if that is a socket's address. */
static bool name_address(const char *dir, const char *name, struct sockaddr_un *address)
{
	int n;

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	n = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s", dir, name);
	return *name != '.' && (size_t)n < sizeof(address->sun_path);
}

int mountctl_call_all(const struct json_t *request, int timeout_ms,
		      void (*visit)(const struct json_t *reply, void *arg), void *arg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int rc = mounts_dir(path, sizeof(path));
	DIR *dir = rc < 0 ? NULL : opendir(path);
	int silent = 0;

	if (!dir)
		return rc < 0 ? rc : errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		struct sockaddr_un address;
		json_t *reply = NULL;

		if (!name_address(path, entry->d_name, &address))
			continue;
		rc = call(&address, request, timeout_ms, &reply);
		if (rc == 0)
			visit(reply, arg);
		else if (rc == -ETIMEDOUT)
			silent = rc;
		json_decref(reply);
	}
	closedir(dir);
	return silent;
}

int mountctl_server(const char *mountpoint, int timeout_ms, pid_t *pid)
{
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd, rc = make_address(mountpoint, &address);

	if (rc < 0)
		return rc;
	fd = connect_to(&address, timeout_ms);
	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		rc = -errno;
	else
		*pid = peer.pid;
	close(fd);
	return rc;
}

/* --- server ---------------------------------------------------------------------- */

/* The directory of all sockets, locked: who holds it may replace a dead socket. */
static int lock_mounts_dir(void)
{
	char path[PATH_MAX];
	struct stat st;
	int fd, rc = mounts_dir(path, sizeof(path));

	if (rc < 0)
		return rc;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || flock(fd, LOCK_EX) < 0)
		rc = -errno;
	else if (st.st_uid != geteuid() || (st.st_mode & 077))
		rc = -EPERM;
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

/* -EADDRINUSE when somebody answers there. */
static int remove_dead(const struct sockaddr_un *address)
{
	int fd = connect_to(address, SERVER_TIMEOUT_MS);

	if (fd >= 0)
		close(fd);
	if (fd == -ENOENT)
		return 0;
	if (fd != -ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

int mountctl_listen(const char *mountpoint)
{
	struct sockaddr_un address;
	int fd = -1, dir = -1;
	int rc = make_address(mountpoint, &address);

	if (rc < 0)
		return rc;
	dir = lock_mounts_dir();
	if (dir < 0)
		return dir;
	rc = remove_dead(&address);
	if (rc < 0)
		goto out;
	fd = open_socket();
	if (fd < 0) {
		rc = fd;
		goto out;
	}
	/* Before bind(), which takes the mode over: never open to others, not for a
	 * moment. */
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		rc = -errno;
out:
	close(dir);
	if (rc < 0 && fd >= 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

int mountctl_accept(int listener, struct json_t **request)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int rc;

	*request = NULL;
	if (fd < 0)
		return -errno;
	rc = check_peer(fd);
	if (rc == 0)
		rc = set_timeout(fd, SERVER_TIMEOUT_MS);
	if (rc == 0)
		rc = receive_json(fd, request);
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

int mountctl_reply(int connection, const struct json_t *reply)
{
	int rc = send_json(connection, reply);

	if (close(connection) < 0 && rc == 0)
		rc = -errno;
	return rc;
}
