/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How hsmsetup talks to the hsmfs that serves a mount point: JSON objects over a
 * SOCK_SEQPACKET socket $HSMFS_RUNTIME_DIR/mounts/HASH.sock, HASH being 32 hex digits of
 * the mount point's absolute path's SHA-256. One request, one reply a connection.
 *
 *   {"op":"status"}                      -> {"status":0,"uuid":...,"directory":...,
 *                                            "mountpoint":...,"state":"active|suspended",
 *                                            "read_only":...,"hsmfs_pid":...} and, while
 *                                            active, what the HSM says of the session
 *   {"op":"suspend"}                     -> {"status":0}
 *   {"op":"resume","ticket":"64 hex"}    -> {"status":0}
 *
 * Replies carry "status" (0 or a negative errno) and, if not 0, "error" (one sentence).
 */
#ifndef FS_VOLUME_MOUNTCTL_H
#define FS_VOLUME_MOUNTCTL_H

#include <stddef.h>
#include <sys/types.h>

struct json_t;

enum { MOUNTCTL_MESSAGE_MAX = 65536 };

/* The socket's path for an absolute @mountpoint. 0, -ENAMETOOLONG, or runtime_dir()'s. */
int mountctl_path(const char *mountpoint, char *path, size_t len);

/* A listening socket there (0600, replaces a dead one). Descriptor or -errno. */
int mountctl_listen(const char *mountpoint);

/*
 * Client: one request, one reply (new reference) within @timeout_ms. -ENOENT or
 * -ECONNREFUSED: nobody serves this mount point. -ETIMEDOUT, -EPROTO, -EPERM (the other
 * side is not our user).
 */
int mountctl_call(const char *mountpoint, const struct json_t *request, int timeout_ms,
		  struct json_t **reply);

/*
 * The same request to every hsmfs of the runtime directory, wherever it was mounted.
 * @visit is shown the replies of those that answer. 0; -ETIMEDOUT: one of them does not;
 * another -errno.
 */
int mountctl_call_all(const struct json_t *request, int timeout_ms,
		      void (*visit)(const struct json_t *reply, void *arg), void *arg);

/*
 * The process that listens there, even if it does not answer; 0 when it is not of our
 * process namespace. 0 or an error of mountctl_call()'s connecting.
 */
int mountctl_server(const char *mountpoint, int timeout_ms, pid_t *pid);

/* Server: accepts one connection of our own user and reads its request. Descriptor or
 * -errno. */
int mountctl_accept(int listener, struct json_t **request);

/* Server: answers and closes @connection. 0 or -errno. */
int mountctl_reply(int connection, const struct json_t *reply);

#endif
