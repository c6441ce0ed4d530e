/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "hsm/api/runtime.h"
#include "hsm/connection.h"
#include "hsm/hsm.h"
#include "hsm/server.h"

enum {
	MAX_CONNECTIONS = 128,
	STACK_BYTES = 256 * 1024,
};

struct server {
	int listener;
	int lock;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	unsigned nr_connections;
	int fds[MAX_CONNECTIONS]; /* -1: free */
};

struct client {
	struct server *server;
	const struct hsm *hsm;
	int fd;
	unsigned index;
};

/* Held as long as this hsmd lives; a socket left by a killed one can then be replaced. */
static int take_lock(char *why, size_t why_len)
{
	char path[4096];
	int fd, ret;

	ret = runtime_dir(path, sizeof(path) - 16);
	if (ret) {
		snprintf(why, why_len, "the runtime directory cannot be used (%s)",
			 strerror(-ret));
		return ret;
	}
	strcat(path, "/hsmd.lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		ret = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
		snprintf(why, why_len, "%s: %s", path,
			 ret == -EADDRINUSE ? "another hsmd is running" : strerror(-ret));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	return fd;
}

static int listen_at(struct server *server)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	strcpy(addr.sun_path, server->path);
	server->listener =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listener < 0)
		return -errno;
	if (unlink(server->path) && errno != ENOENT)
		return -errno;
	if (bind(server->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    chmod(server->path, 0600) || listen(server->listener, 64))
		return -errno;
	return 0;
}

int server_open(struct server **out, char *why, size_t why_len)
{
	struct server *server = calloc(1, sizeof(*server));
	int ret;

	if (!server)
		return -ENOMEM;
	server->listener = server->lock = -1;
	pthread_mutex_init(&server->mutex, NULL);
	pthread_cond_init(&server->ended, NULL);
	memset(server->fds, 0xff, sizeof(server->fds));
	ret = take_lock(why, why_len);
	if (ret < 0)
		goto out;
	server->lock = ret;
	ret = runtime_socket_path(server->path, sizeof(server->path));
	if (!ret)
		ret = listen_at(server);
	if (ret) {
		snprintf(why, why_len, "cannot listen on %s (%s)", server->path,
			 strerror(-ret));
		goto out;
	}
	*out = server;
	return 0;
out:
	server_close(server);
	return ret;
}

void server_close(struct server *server)
{
	if (!server)
		return;
	if (server->listener >= 0) {
		unlink(server->path);
		close(server->listener);
	}
	if (server->lock >= 0)
		close(server->lock);
	pthread_cond_destroy(&server->ended);
	pthread_mutex_destroy(&server->mutex);
	free(server);
}

static void *client_thread(void *arg)
{
	struct client client = *(struct client *)arg;
	struct server *server = client.server;

	free(arg);
	connection_serve(client.hsm, dup(client.fd));
	pthread_mutex_lock(&server->mutex);
	close(client.fd);
	server->fds[client.index] = -1;
	server->nr_connections--;
	pthread_cond_signal(&server->ended);
	pthread_mutex_unlock(&server->mutex);
	return NULL;
}

/* Only our own user may talk to the keys. */
static bool peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	if (peer.uid == geteuid())
		return true;
	syslog(LOG_WARNING, "refused a connection of uid %u", peer.uid);
	return false;
}

static int start_thread(struct client *client)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ret = pthread_create(&thread, &attr, client_thread, client);
	pthread_attr_destroy(&attr);
	return -ret;
}

/* Gives @fd a place and a thread; closes it when there is neither. */
static void add_client(struct server *server, const struct hsm *hsm, int fd)
{
	struct client *client = malloc(sizeof(*client));
	unsigned i = 0;

	pthread_mutex_lock(&server->mutex);
	while (i < MAX_CONNECTIONS && server->fds[i] >= 0)
		i++;
	if (client && i < MAX_CONNECTIONS && peer_allowed(fd)) {
		*client = (struct client){server, hsm, fd, i};
		server->fds[i] = fd;
		server->nr_connections++;
		if (!start_thread(client))
			goto out;
		server->fds[i] = -1;
		server->nr_connections--;
	}
	close(fd);
	free(client);
out:
	pthread_mutex_unlock(&server->mutex);
}

static bool is_idle(struct server *server)
{
	bool idle;

	pthread_mutex_lock(&server->mutex);
	idle = server->nr_connections == 0;
	pthread_mutex_unlock(&server->mutex);
	return idle;
}

/* Shuts every connection down and waits for their threads. */
static void end_clients(struct server *server)
{
	pthread_mutex_lock(&server->mutex);
	for (unsigned i = 0; i < MAX_CONNECTIONS; i++)
		if (server->fds[i] >= 0)
			shutdown(server->fds[i], SHUT_RDWR);
	while (server->nr_connections)
		pthread_cond_wait(&server->ended, &server->mutex);
	pthread_mutex_unlock(&server->mutex);
}

/* Accepts all that wait; true if there was any. */
static bool accept_clients(struct server *server, const struct hsm *hsm)
{
	bool any = false;
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		add_client(server, hsm, fd);
		any = true;
	}
	return any;
}

static int serve(struct server *server, const struct hsm *hsm, int signals,
		 unsigned idle_exit_s)
{
	struct pollfd fds[2] = {{.fd = server->listener, .events = POLLIN},
				{.fd = signals, .events = POLLIN}};
	int timeout = idle_exit_s ? (int)idle_exit_s * 1000 : -1;

	for (;;) {
		int n = poll(fds, 2, timeout);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return 0;
		if (accept_clients(server, hsm) || n || !is_idle(server))
			continue;
		/* from here on a client finds no socket and starts another hsmd */
		unlink(server->path);
		if (!accept_clients(server, hsm))
			return 0;
		end_clients(server);
		return 0;
	}
}

int server_run(struct server *server, const struct hsm *hsm, unsigned idle_exit_s)
{
	sigset_t mask;
	int signals, ret;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	signals = signalfd(-1, &mask, SFD_CLOEXEC);
	if (signals < 0)
		return -errno;
	ret = serve(server, hsm, signals, idle_exit_s);
	end_clients(server);
	close(signals);
	return ret;
}
