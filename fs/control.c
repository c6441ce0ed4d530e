/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/control.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/fuse_loop.h"
#include "fs/fuse_suspend.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/volume/header.h"
#include "fs/volume/mountctl.h"

enum {
	LEASE_MARGIN_S = 1,
	LINK_CHECK_MS = 1000, /* how late a change of the link may be noticed */
};

struct control {
	struct control_config config;
	struct suspender *suspender;
	bool was_up; /* the link, when it was last looked at */
	bool leased; /* the lease has an end to watch for, or may have */
	pthread_t thread;
	int stop_fd;
	int signal_fd;
};

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *number_or_null(uint64_t number)
{
	return number == UINT64_MAX ? json_null() : json_integer((json_int_t)number);
}

static void add_session(json_t *reply, const struct wire_status_reply *status,
			const struct wire_hello_reply *identity)
{
	set(reply, "engine", json_string(identity->engine));
	set(reply, "token", json_string(identity->token));
	set(reply, "memory", json_string(identity->memory));
	set(reply, "hsmd_pid", json_integer(identity->pid));
	set(reply, "generation", json_integer((json_int_t)status->generation));
	set(reply, "handle_lifetime_ms", json_integer(status->handle_lifetime_ms));
	set(reply, "lease_left_s", number_or_null(status->lease_left_s));
	set(reply, "idle_left_s", number_or_null(status->idle_left_s));
	set(reply, "limit_bytes", number_or_null(status->limit_bytes));
	if (status->limit_bytes != UINT64_MAX) {
		set(reply, "limit_s", json_integer((json_int_t)status->limit_s));
		set(reply, "limit_left", json_integer((json_int_t)status->limit_left));
		set(reply, "limit_resets_s",
		    json_integer((json_int_t)status->limit_resets_s));
		set(reply, "over_limit", json_integer((json_int_t)status->over_limit));
	}
	set(reply, "pages_sealed", json_integer((json_int_t)status->pages_sealed));
	set(reply, "pages_opened", json_integer((json_int_t)status->pages_opened));
	set(reply, "refused", json_integer((json_int_t)status->refused));
}

static json_t *status_reply(const struct control *control)
{
	const struct control_config *config = &control->config;
	struct wire_hello_reply identity;
	struct wire_status_reply status;
	json_t *reply = json_object();
	char uuid[37];
	int ret = link_status(config->fs->link, &status, &identity);

	header_uuid_text(link_volume(config->fs->link)->uuid, uuid);
	set(reply, "status", json_integer(0));
	set(reply, "uuid", json_string(uuid));
	set(reply, "directory", json_string(config->directory));
	set(reply, "mountpoint", json_string(config->mountpoint));
	set(reply, "state", json_string(ret ? "suspended" : "active"));
	set(reply, "read_only", json_boolean(config->fs->read_only));
	set(reply, "workers", json_integer(loop_nr_workers(config->loop)));
	set(reply, "hsmfs_pid", json_integer(getpid()));
	if (!ret)
		add_session(reply, &status, &identity);
	return reply;
}

static json_t *plain_reply(int status, const char *error)
{
	json_t *reply = json_object();

	set(reply, "status", json_integer(status));
	if (status)
		set(reply, "error", json_string(error));
	return reply;
}

static int parse_ticket(const char *hex, uint8_t ticket[WIRE_TICKET_BYTES])
{
	if (!hex || strlen(hex) != 2 * WIRE_TICKET_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < WIRE_TICKET_BYTES; i++) {
		unsigned byte;
		char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		if (strspn(pair, "0123456789abcdef") != 2)
			return -EINVAL;
		byte = (unsigned)strtoul(pair, NULL, 16);
		ticket[i] = (uint8_t)byte;
	}
	return 0;
}

static json_t *resume(struct control *control, const json_t *request)
{
	uint8_t ticket[WIRE_TICKET_BYTES];
	char why[256] = "the ticket is not 64 hexadecimal digits";
	int ret = parse_ticket(json_string_value(json_object_get(request, "ticket")),
			       ticket);

	if (!ret)
		ret = link_resume(control->config.fs->link, ticket, why, sizeof(why));
	explicit_bzero(ticket, sizeof(ticket));
	control->leased = true;
	if (!ret)
		loop_wake(control->config.loop);
	return plain_reply(ret, why);
}

static json_t *suspend(const struct control *control)
{
	int ret = suspend_volume(control->suspender);

	return plain_reply(ret, ret == -EALREADY ? "the volume is suspended already"
						 : strerror(-ret));
}

static json_t *answer(struct control *control, const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));

	if (op && !strcmp(op, "status"))
		return status_reply(control);
	if (op && !strcmp(op, "suspend"))
		return suspend(control);
	if (op && !strcmp(op, "resume"))
		return resume(control, request);
	return plain_reply(-EOPNOTSUPP, "this hsmfs does not know that operation");
}

static void serve_one(struct control *control)
{
	json_t *request = NULL, *reply;
	int fd = mountctl_accept(control->config.listener, &request);

	if (fd < 0)
		return;
	reply = answer(control, request);
	json_decref(request);
	if (reply)
		mountctl_reply(fd, reply);
	else
		close(fd);
	json_decref(reply);
}

/* As fusermount3 -uz: what is open goes on, and the loop ends when all is closed. */
static void unmount_lazily(const char *mountpoint)
{
	char *argv[] = {"fusermount3", "-u", "-z", "-q", "--", (char *)mountpoint, NULL};
	extern char **environ;
	pid_t pid;

	if (geteuid() == 0) {
		umount2(mountpoint, MNT_DETACH);
		return;
	}
	if (!posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		waitpid(pid, NULL, 0);
}

/*
 * A lease that ends at the HSM takes the keys, but not what the kernel has cached: so the
 * volume is suspended in good order right before.
 */
static void watch_lease(struct control *control)
{
	struct link *link = control->config.fs->link;
	struct wire_hello_reply identity;
	struct wire_status_reply status;

	if (!control->leased || !link_epoch(link) ||
	    link_status(link, &status, &identity))
		return;
	control->leased =
		status.lease_left_s != UINT64_MAX || status.idle_left_s != UINT64_MAX;
	if (status.lease_left_s > LEASE_MARGIN_S && status.idle_left_s > LEASE_MARGIN_S)
		return;
	log_warn("the lease ends: the volume is suspended until luksResume");
	suspend_volume(control->suspender);
}

/* Whoever notices first that the keys have gone, what they protected goes too. */
static void watch_link(struct control *control)
{
	bool up = link_epoch(control->config.fs->link) != 0;

	if (control->was_up && !up)
		suspend_lost(control->suspender);
	control->was_up = up;
}

static void watch(struct control *control)
{
	struct fs *fs = control->config.fs;
	bool stop = false;

	while (!stop) {
		uint32_t epoch = link_epoch(fs->link);
		struct pollfd fds[] = {{.fd = control->stop_fd, .events = POLLIN},
				       {.fd = control->signal_fd, .events = POLLIN},
				       {.fd = control->config.listener, .events = POLLIN},
				       {.fd = link_fd(fs->link)}};
		struct signalfd_siginfo info;

		watch_lease(control);
		watch_link(control);
		if (poll(fds, 4, LINK_CHECK_MS) <= 0)
			continue;
		stop = fds[0].revents != 0;
		if (fds[1].revents &&
		    read(control->signal_fd, &info, sizeof(info)) == sizeof(info))
			unmount_lazily(control->config.mountpoint);
		if (fds[2].revents)
			serve_one(control);
		if (fds[3].revents & (POLLHUP | POLLERR)) {
			log_warn("the HSM has gone: the volume is suspended until "
				 "luksResume");
			link_lost(fs->link, epoch);
		}
	}
}

static void *control_thread(void *arg)
{
	prctl(PR_SET_NAME, "hsmfs-control");
	watch(arg);
	return NULL;
}

int control_start(const struct control_config *config, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	sigset_t mask;
	int ret;

	if (!control)
		return -ENOMEM;
	control->config = *config;
	control->leased = true;
	control->suspender = suspend_create(config->fs, config->se, config->loop);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	control->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC);
	control->stop_fd = eventfd(0, EFD_CLOEXEC);
	ret = control->signal_fd < 0 || control->stop_fd < 0 || !control->suspender
		      ? -errno
		      : -pthread_create(&control->thread, NULL, control_thread, control);
	if (ret) {
		close(control->signal_fd);
		close(control->stop_fd);
		free(control->suspender);
		free(control);
		return ret;
	}
	*out = control;
	return 0;
}

void control_stop(struct control *control)
{
	char path[4096];

	eventfd_write(control->stop_fd, 1);
	pthread_join(control->thread, NULL);
	suspend_destroy(control->suspender);
	if (!mountctl_path(control->config.mountpoint, path, sizeof(path)))
		unlink(path);
	close(control->config.listener);
	close(control->signal_fd);
	close(control->stop_fd);
	free(control);
}
