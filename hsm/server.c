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
#include <time.h>
#include <unistd.h>

#include "hsm/api/runtime.h"
#include "hsm/connection.h"
#include "hsm/hsm.h"
#include "hsm/limits.h"
#include "hsm/server.h"
#include "hsm/session.h"
#include "hsm/terms.h"

enum {
	STACK_BYTES = 256 * 1024,
	SWEEP_MS = 1000,      /* how late the end of a lease may be noticed */
	NO_RESOURCES_MS = 50, /* before accepting again when there was no descriptor */
};

struct server {
	const struct hsm *hsm; /* once it runs */
	int listener;
	int lock;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pthread_mutex_t mutex;
	pthread_cond_t ended;
	unsigned nr_connections;
	int fds[LIMITS_CONNECTIONS]; /* -1: free */
};

struct client {
	struct server *server;
	struct connection_peer peer;
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
	int on = 1;

	strcpy(addr.sun_path, server->path);
	server->listener =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listener < 0)
		return -errno;
	/* inherited by connections: no message may come without its sender */
	if (setsockopt(server->listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
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

/* From here on a client finds no socket, or a closed one: it looks for another hsmd. */
static void stop_listening(struct server *server)
{
	if (server->listener < 0)
		return;
	unlink(server->path);
	close(server->listener);
	server->listener = -1;
}

void server_close(struct server *server)
{
	if (!server)
		return;
	stop_listening(server);
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
	connection_serve(server->hsm, dup(client.fd), &client.peer);
	limits_disconnect(client.peer.quota);
	pthread_mutex_lock(&server->mutex);
	close(client.fd);
	server->fds[client.index] = -1;
	server->nr_connections--;
	pthread_cond_signal(&server->ended);
	pthread_mutex_unlock(&server->mutex);
	return NULL;
}

/* Only our own user may talk to the keys, and no process of it may take all places. */
static bool admit(int fd, struct connection_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	if (cred.uid != geteuid()) {
		syslog(LOG_WARNING, "refused a connection of uid %u", cred.uid);
		return false;
	}
	/* all outside our process namespace are 0, and could pass for each other */
	if (cred.pid <= 0) {
		syslog(LOG_WARNING, "refused a process of another namespace");
		return false;
	}
	peer->pid = cred.pid;
	peer->quota = limits_connect(cred.pid);
	return peer->quota != NULL;
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

/* Gives @client, who is admitted, a place and a thread. False when there is neither. */
static bool place_client(struct server *server, struct client *client)
{
	unsigned i = 0;
	bool placed = false;

	pthread_mutex_lock(&server->mutex);
	while (i < LIMITS_CONNECTIONS && server->fds[i] >= 0)
		i++;
	if (i < LIMITS_CONNECTIONS) {
		client->index = i;
		server->fds[i] = client->fd;
		server->nr_connections++;
		placed = !start_thread(client);
		if (!placed) {
			server->fds[i] = -1;
			server->nr_connections--;
		}
	}
	pthread_mutex_unlock(&server->mutex);
	return placed;
}

/* Takes @fd over: it gets its thread or is closed. */
static void add_client(struct server *server, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client && admit(fd, &client->peer)) {
		client->server = server;
		client->fd = fd;
		if (place_client(server, client))
			return;
		limits_disconnect(client->peer.quota);
	}
	close(fd);
	free(client);
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
	for (unsigned i = 0; i < LIMITS_CONNECTIONS; i++)
		if (server->fds[i] >= 0)
			shutdown(server->fds[i], SHUT_RDWR);
	while (server->nr_connections)
		pthread_cond_wait(&server->ended, &server->mutex);
	pthread_mutex_unlock(&server->mutex);
}

/* Accepts all that wait; true if there was any. */
static bool accept_clients(struct server *server)
{
	const struct timespec pause = {.tv_nsec = NO_RESOURCES_MS * 1000000L};
	bool any = false;
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		add_client(server, fd);
		any = true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
		nanosleep(&pause, NULL);
	return any;
}

/*
 * With clients, wakes every second to look after leases: CLOCK_BOOTTIME can have jumped,
 * and poll()'s clock stands still while the machine sleeps.
 */
static int wait_ms(struct server *server, unsigned idle_exit_s)
{
	if (!is_idle(server))
		return SWEEP_MS;
	return idle_exit_s ? (int)idle_exit_s * 1000 : -1;
}

/* Somebody may resume a volume with its limits, unless the socket went with a login. */
static bool is_waited_for(const struct server *server)
{
	struct stat st;

	return terms_limit_any() && !stat(server->path, &st);
}

static int serve(struct server *server, int signals, unsigned idle_exit_s)
{
	struct pollfd fds[2] = {{.fd = server->listener, .events = POLLIN},
				{.fd = signals, .events = POLLIN}};

	for (;;) {
		bool was_idle = is_idle(server);
		int n = poll(fds, 2, wait_ms(server, idle_exit_s));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return 0;
		session_sweep();
		if (!accept_clients(server) && !n && was_idle && idle_exit_s &&
		    !is_waited_for(server))
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
	server->hsm = hsm;
	ret = serve(server, signals, idle_exit_s);
	stop_listening(server);
	end_clients(server);
	close(signals);
	return ret;
}
