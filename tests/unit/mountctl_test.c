/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "fs/volume/mountctl.h"

static const char mountpoint[] = "/home/alice/mnt, with a \"name\"\n";
static char runtime[64];
static char path[108];

static int setup(void **state)
{
	(void)state;
	strcpy(runtime, P_tmpdir "/hsmfs-mountctl-XXXXXX");
	assert_non_null(mkdtemp(runtime));
	assert_int_equal(setenv("HSMFS_RUNTIME_DIR", runtime, 1), 0);
	return mountctl_path(mountpoint, path, sizeof(path));
}

static int teardown(void **state)
{
	char dir[128];

	(void)state;
	unlink(path);
	snprintf(dir, sizeof(dir), "%s/mounts", runtime);
	rmdir(dir);
	return rmdir(runtime);
}

/* --- a server in a thread -------------------------------------------------------- */

struct server {
	pthread_t thread;
	int listener;
	int result;	 /* of mountctl_accept(), then of mountctl_reply() */
	json_t *request; /* what was asked */
	json_t *reply;	 /* what to answer; NULL: hang up */
	const char *raw; /* or these bytes */
	size_t raw_len;
};

static void *serve(void *arg)
{
	struct server *server = arg;
	int fd = mountctl_accept(server->listener, &server->request);

	server->result = fd;
	if (fd < 0)
		return NULL;
	if (server->reply) {
		server->result = mountctl_reply(fd, server->reply);
		return NULL;
	}
	if (server->raw)
		send(fd, server->raw, server->raw_len, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void start(struct server *server)
{
	server->listener = mountctl_listen(mountpoint);
	assert_true(server->listener >= 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct server *server)
{
	pthread_join(server->thread, NULL);
	close(server->listener);
	json_decref(server->request);
	json_decref(server->reply);
}

static int call(const char *op, int timeout_ms, json_t **reply)
{
	json_t *request = json_pack("{s:s}", "op", op);
	int rc = mountctl_call(mountpoint, request, timeout_ms, reply);

	json_decref(request);
	return rc;
}

/* A bare connection, for clients and messages that mountctl_call() would not make. */
static int connect_raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* --- tests ----------------------------------------------------------------------- */

static void test_call_and_reply(void **state)
{
	struct server server = {
		.reply = json_pack("{s:i,s:s}", "status", 0, "state", "active")};
	json_t *reply;

	(void)state;
	start(&server);
	assert_int_equal(call("status", 5000, &reply), 0);
	assert_string_equal(json_string_value(json_object_get(reply, "state")), "active");
	json_decref(reply);
	pthread_join(server.thread, NULL);
	assert_string_equal(json_string_value(json_object_get(server.request, "op")),
			    "status");
	assert_int_equal(server.result, 0);
	close(server.listener);
	json_decref(server.request);
	json_decref(server.reply);
}

static void test_socket_is_private(void **state)
{
	struct stat st;
	char dir[128];
	int fd = mountctl_listen(mountpoint);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(dir, sizeof(dir), "%s/mounts", runtime);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	close(fd);
}

static void test_nobody_there(void **state)
{
	json_t *reply;
	int fd;

	(void)state;
	assert_int_equal(call("status", 1000, &reply), -ENOENT);
	assert_null(reply);
	fd = mountctl_listen(mountpoint);
	assert_true(fd >= 0);
	close(fd); /* as if it had died: the socket stays */
	assert_int_equal(call("status", 1000, &reply), -ECONNREFUSED);
}

static void test_dead_socket_is_replaced_and_a_live_one_not(void **state)
{
	int dead = mountctl_listen(mountpoint);
	int live;

	(void)state;
	assert_true(dead >= 0);
	close(dead);
	live = mountctl_listen(mountpoint);
	assert_true(live >= 0);
	assert_int_equal(mountctl_listen(mountpoint), -EADDRINUSE);
	close(live);
}

static void test_each_mount_point_has_its_socket(void **state)
{
	char other[108];

	(void)state;
	assert_int_equal(mountctl_path("/mnt", other, sizeof(other)), 0);
	assert_string_not_equal(path, other);
	assert_int_equal(mountctl_path("/mnt", other, 20), -ENAMETOOLONG);
}

static void test_runtime_dir_too_long_for_a_socket(void **state)
{
	char longer[128];
	json_t *reply;

	(void)state;
	snprintf(longer, sizeof(longer), "%s/%050d", runtime, 0);
	assert_int_equal(setenv("HSMFS_RUNTIME_DIR", longer, 1), 0);
	assert_int_equal(mountctl_listen(mountpoint), -ENAMETOOLONG);
	assert_int_equal(call("status", 1000, &reply), -ENAMETOOLONG);
	rmdir(longer);
}

static void test_silent_server_times_out(void **state)
{
	int fd = mountctl_listen(mountpoint);
	json_t *reply;
	pid_t pid = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(call("status", 100, &reply), -ETIMEDOUT);
	/* but it is known who it is, however often it was asked */
	for (int i = 0; i < 100; i++)
		assert_int_equal(mountctl_server(mountpoint, 5000, &pid), 0);
	assert_int_equal(pid, getpid());
	close(fd);
	assert_int_equal(mountctl_server(mountpoint, 5000, &pid), -ECONNREFUSED);
}

static void test_hangup_and_rubbish_are_protocol_errors(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		{NULL, 0},
		{"[]", 2},
		{"{\"status\":0", 11},
		{"{}", 2},
		{"{\"status\":\"0\"}", 14},
		{"{\"status\":0,\"status\":1}", 23},
		{"\0\0\0", 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct server server = {.raw = cases[i].text, .raw_len = cases[i].len};
		json_t *reply;

		start(&server);
		assert_int_equal(call("status", 5000, &reply), -EPROTO);
		assert_null(reply);
		stop(&server);
	}
}

static void test_hostile_requests(void **state)
{
	static char large[MOUNTCTL_MESSAGE_MAX + 1];
	struct server server = {0};
	int fd;

	(void)state;
	/* A valid object but for its length: the cut must not be taken for the whole. */
	memset(large, ' ', sizeof(large));
	memcpy(large, "{\"op\":\"status\"}", 15);
	start(&server);
	fd = connect_raw();
	assert_int_equal(send(fd, large, sizeof(large), 0), sizeof(large));
	pthread_join(server.thread, NULL);
	assert_int_equal(server.result, -EPROTO);
	assert_null(server.request);
	close(fd);

	assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
	fd = connect_raw();
	assert_int_equal(send(fd, large, sizeof(large) - 1, 0), sizeof(large) - 1);
	pthread_join(server.thread, NULL);
	assert_true(server.result >= 0);
	close(fd);
	close(server.listener);
	json_decref(server.request);
}

static void test_silent_client_does_not_hang_the_server(void **state)
{
	struct server server = {0};
	int fd;

	(void)state;
	start(&server);
	fd = connect_raw();
	pthread_join(server.thread, NULL);
	assert_int_equal(server.result, -ETIMEDOUT);
	close(fd);
	close(server.listener);
}

static void test_too_large_to_send(void **state)
{
	char *text = malloc(MOUNTCTL_MESSAGE_MAX + 1);
	struct server server = {0};
	json_t *reply;

	(void)state;
	memset(text, 'x', MOUNTCTL_MESSAGE_MAX);
	text[MOUNTCTL_MESSAGE_MAX] = '\0';
	start(&server);
	assert_int_equal(call(text, 5000, &reply), -EMSGSIZE);
	stop(&server);
	free(text);
}

/* Somebody else's directory is not one to make a socket in. */
static void test_open_directory_is_refused(void **state)
{
	char dir[128];

	(void)state;
	snprintf(dir, sizeof(dir), "%s/mounts", runtime);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(mountctl_listen(mountpoint), -EPERM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_call_and_reply),
		TEST(test_socket_is_private),
		TEST(test_nobody_there),
		TEST(test_dead_socket_is_replaced_and_a_live_one_not),
		TEST(test_each_mount_point_has_its_socket),
		TEST(test_runtime_dir_too_long_for_a_socket),
		TEST(test_silent_server_times_out),
		TEST(test_hangup_and_rubbish_are_protocol_errors),
		TEST(test_hostile_requests),
		TEST(test_silent_client_does_not_hang_the_server),
		TEST(test_too_large_to_send),
		TEST(test_open_directory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
