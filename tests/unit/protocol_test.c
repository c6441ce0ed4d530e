/* SPDX-License-Identifier: Apache-2.0 */
/* Control messages and rings that break the protocol, against a real hsmd. */
#include "tests/unit/hsmd_fixture.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "hsm/api/runtime.h"

enum { NR_TYPES = 16, BODY_MAX = WIRE_MESSAGE_MAX };

enum { NEW = 1, READY = 2, OWNER = 4, USER = 8 };

/* hsm/PROTOCOL.md's table. */
static const struct row {
	unsigned states;
	size_t body;
	bool has_tail;
} rows[NR_TYPES] = {
	[WIRE_HELLO] = {NEW, 8, false},
	[WIRE_CREATE] = {READY, 16, false},
	[WIRE_UNLOCK] = {READY, 1964, true},
	[WIRE_ADD_SLOT] = {OWNER, 96, true},
	[WIRE_MAC] = {OWNER | USER, 32, false},
	[WIRE_TICKET] = {OWNER, 40, false},
	[WIRE_REDEEM] = {READY, 32, false},
	[WIRE_QUEUE] = {USER, 8, false},
	[WIRE_RENEW] = {USER, 8, false},
	[WIRE_STATUS] = {OWNER | USER, 0, false},
	[WIRE_LOCK] = {OWNER | USER, 0, false},
	[WIRE_TOKENS] = {READY | OWNER | USER, 0, false},
	[WIRE_VERIFY] = {OWNER | USER, 64, false},
};

static struct hsmd hsmd;
static struct hsm_client *keeper, *bystander;
static struct queue quiet;

static int setup_all(void **state)
{
	(void)state;
	hsmd_folders(&hsmd);
	hsmd_start(&hsmd, NULL);
	keeper = own_session();
	bystander = use_session(keeper);
	attach(&quiet, bystander);
	assert_int_equal(seal_page(&quiet), 0);
	return 0;
}

static int teardown_all(void **state)
{
	(void)state;
	hsm_disconnect(bystander);
	hsm_disconnect(keeper);
	queue_fini(&quiet);
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
	return 0;
}

/* After each test: who behaves is served. */
static int still_served(void **state)
{
	(void)state;
	assert_int_equal(open_page(&quiet), 0);
	return 0;
}

/* A connection in @want; the clients own the socket. */
struct peer {
	struct hsm_client *hsm, *helper;
	int raw; /* in state NEW */
};

static int connect_raw(void)
{
	char why[256];
	int fd = runtime_connect(why, sizeof(why));

	assert_true(fd >= 0);
	return fd;
}

static int peer_open(struct peer *peer, unsigned want)
{
	*peer = (struct peer){.raw = -1};
	if (want == NEW)
		return peer->raw = connect_raw();
	if (want == READY) {
		peer->hsm = connect_client();
	} else {
		peer->hsm = own_session();
		if (want == USER) {
			peer->helper = peer->hsm;
			peer->hsm = use_session(peer->helper);
		}
	}
	return hsm_fd(peer->hsm);
}

static void peer_close(struct peer *peer)
{
	hsm_disconnect(peer->hsm);
	hsm_disconnect(peer->helper);
	if (peer->raw >= 0)
		close(peer->raw);
}

/* The status of a message with a body of @len zeros; -EPIPE when it has no answer. */
static int say_zeros(int fd, uint32_t type, size_t len)
{
	static uint8_t message[sizeof(struct wire_header) + BODY_MAX],
		answer[WIRE_MESSAGE_MAX];
	struct wire_header header = {.type = type,
				     .length = (uint32_t)(sizeof(header) + len)};

	memset(message, 0, sizeof(message));
	memcpy(message, &header, sizeof(header));
	if (say_raw(fd, message, header.length, answer, sizeof(answer)) < sizeof(header))
		return -EPIPE;
	memcpy(&header, answer, sizeof(header));
	assert_int_equal(header.type, type);
	return header.status;
}

/* The highest version that both know; a client from before the first is told so. */
static void versions_are_agreed_on(void **state)
{
	struct {
		struct wire_header header;
		struct wire_hello hello;
	} message = {{.type = WIRE_HELLO, .length = sizeof(message)}, {0}};
	struct {
		struct wire_header header;
		struct wire_hello_reply hello;
	} answer;
	int fd = connect_raw();

	(void)state;
	assert_int_equal(say_raw(fd, &message, sizeof(message), &answer, sizeof(answer)),
			 sizeof(answer.header));
	assert_int_equal(answer.header.status, -EPROTONOSUPPORT);
	message.hello.version = WIRE_VERSION + 7;
	assert_int_equal(say_raw(fd, &message, sizeof(message), &answer, sizeof(answer)),
			 sizeof(answer));
	assert_int_equal(answer.header.status, 0);
	assert_int_equal(answer.hello.version, WIRE_VERSION);
	close(fd);
}

static void only_what_the_state_permits(void **state)
{
	(void)state;
	for (unsigned s = NEW; s <= USER; s <<= 1) {
		for (uint32_t type = 0; type < NR_TYPES; type++) {
			struct peer peer;
			int ret = say_zeros(peer_open(&peer, s), type, rows[type].body);

			if ((ret != -EPIPE) != ((rows[type].states & s) != 0))
				fail_msg("type %u in state %u: %d", type, s, ret);
			peer_close(&peer);
		}
	}
}

static unsigned lowest(unsigned states)
{
	return states & -states;
}

static void lengths_must_be_right(void **state)
{
	(void)state;
	for (uint32_t type = 1; type < NR_TYPES; type++) {
		const struct row *row = &rows[type];
		struct peer peer;

		if (!row->states)
			continue;
		assert_int_equal(say_zeros(peer_open(&peer, lowest(row->states)), type,
					   row->body + 1),
				 -EPIPE);
		peer_close(&peer);
		if (!row->body)
			continue;
		assert_int_equal(say_zeros(peer_open(&peer, lowest(row->states)), type,
					   row->body - 1),
				 -EPIPE);
		peer_close(&peer);
	}
}

/* Sends @len bytes beginning with @header on a READY connection. */
static size_t say_header(struct wire_header header, size_t len)
{
	static uint8_t message[2 * WIRE_MESSAGE_MAX], answer[WIRE_MESSAGE_MAX];
	struct peer peer;
	size_t n;

	memcpy(message, &header, sizeof(header));
	n = say_raw(peer_open(&peer, READY), message, len, answer, sizeof(answer));
	peer_close(&peer);
	return n;
}

static void headers_must_be_right(void **state)
{
	const struct wire_header good = {.type = WIRE_TOKENS, .length = 16};
	struct wire_header bad = good;

	(void)state;
	assert_int_equal(say_header(good, 16), 536);
	for (size_t len = 1; len < 16; len++)
		assert_int_equal(say_header(good, len), 0);
	assert_int_equal(say_header(good, 17), 0);
	assert_int_equal(say_header(good, WIRE_MESSAGE_MAX + 1), 0);
	bad.length = UINT32_MAX;
	assert_int_equal(say_header(bad, 16), 0);
	bad = good;
	bad.status = -1;
	assert_int_equal(say_header(bad, 16), 0);
	bad = good;
	bad.type = UINT32_MAX;
	assert_int_equal(say_header(bad, 16), 0);
}

static void passphrases_must_be_as_long_as_they_say(void **state)
{
	static const uint32_t lens[] = {1, 5, WIRE_PASSPHRASE_MAX + 1, UINT32_MAX,
					UINT32_MAX - 1207};
	static uint8_t message[sizeof(struct wire_header) + sizeof(struct wire_unlock)];
	uint8_t answer[64];

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct wire_header header = {.type = WIRE_UNLOCK,
					     .length = sizeof(message)};
		struct wire_unlock body = {.pass_len = lens[i]};
		struct peer peer;

		memcpy(message, &header, sizeof(header));
		memcpy(message + sizeof(header), &body, sizeof(body));
		assert_int_equal(say_raw(peer_open(&peer, READY), message,
					 sizeof(message), answer, sizeof(answer)),
				 0);
		peer_close(&peer);
	}
}

static void hostile_slots_cost_nothing(void **state)
{
	struct wire_tokens_reply tokens;
	struct keyslot slot = {.kdf = {.time = 1, .memory_kib = 64, .lanes = 1}};
	struct hsm_client *hsm = connect_client();
	uint32_t wait_s;

	(void)state;
	assert_int_equal(hsm_tokens(hsm, &tokens), 0);
	slot.tpm_name[1] = 0x0b;
	assert_int_equal(hsm_unlock(hsm, some_uuid, &slot, "x", 1, &wait_s), -ENXIO);
	memcpy(slot.tpm_name, tokens.tokens[0].tpm_name, sizeof(slot.tpm_name));
	assert_int_equal(hsm_unlock(hsm, some_uuid, &slot, "x", 1, &wait_s), -EBADMSG);
	slot.tpm_public_len = slot.tpm_private_len = UINT16_MAX;
	assert_int_equal(hsm_unlock(hsm, some_uuid, &slot, "x", 1, &wait_s), -EBADMSG);
	slot.slot = UINT32_MAX;
	assert_int_equal(hsm_unlock(hsm, some_uuid, &slot, "x", 1, &wait_s), -EBADMSG);
	slot.slot = 0;
	slot.kdf.memory_kib = UINT32_MAX;
	assert_int_equal(hsm_unlock(hsm, some_uuid, &slot, "x", 1, &wait_s), -EINVAL);
	hsm_disconnect(hsm);
}

/* Others wait for it meanwhile. */
static void a_try_must_not_take_long(void **state)
{
	struct hsm_client *hsm = own_session();
	struct keyslot slot;

	(void)state;
	assert_int_equal(hsm_add_slot(hsm, 0, NULL, WIRE_KDF_MS_MAX + 1, "p", 1, &slot),
			 -EINVAL);
	assert_int_equal(hsm_add_slot(hsm, 0, NULL, UINT32_MAX, "p", 1, &slot), -EINVAL);
	hsm_disconnect(hsm);
}

static int nr_unlocks_logged(void)
{
	char path[PATH_MAX], line[1024];
	FILE *file;
	int nr = 0;

	snprintf(path, sizeof(path), "%s/state/audit.jsonl", hsmd.dir);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		nr += strstr(line, "\"unlock\"") != NULL;
	fclose(file);
	return nr;
}

/* Asks for @nr passphrases to be stretched, for a good while each, and dies. */
static void ask_and_die(int nr, const uint8_t *tpm_name)
{
	struct {
		struct wire_header header;
		struct wire_unlock unlock;
		char pass;
	} __attribute__((packed))
	ask = {.header = {.type = WIRE_UNLOCK, .length = sizeof(ask)},
	       .unlock = {.slot.kdf = {.time = 8, .memory_kib = 65536, .lanes = 1},
			  .pass_len = 1}};
	int fds[16];

	memcpy(ask.unlock.slot.tpm_name, tpm_name, sizeof(ask.unlock.slot.tpm_name));
	for (int i = 0; i < nr; i++)
		fds[i] = hsm_fd(connect_client());
	for (int i = 0; i < nr; i++)
		send(fds[i], &ask, sizeof(ask), MSG_NOSIGNAL);
	/* not before hsmd has taken all of them */
	for (int i = 0, unread = 1; i < nr; i++, unread = 1)
		while (!ioctl(fds[i], SIOCOUTQ, &unread) && unread)
			usleep(100);
	kill(getpid(), SIGKILL);
}

static void the_dead_get_nothing_stretched(void **state)
{
	enum { NR = 12 };
	int before = nr_unlocks_logged();
	unsigned threads = hsmd_threads(&hsmd);
	struct wire_tokens_reply tokens;
	pid_t pid;

	(void)state;
	assert_int_equal(hsm_tokens(keeper, &tokens), 0);
	pid = fork();
	if (pid == 0)
		ask_and_die(NR, tokens.tokens[0].tpm_name);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	hsmd_settle(&hsmd, threads);
	/* one had begun, and perhaps a few more on a busy machine */
	assert_true(nr_unlocks_logged() - before < NR);
}

/* --- queues ------------------------------------------------------------------------- */

static int make_memfd(size_t len, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int queue_with(int fd, uint64_t arena_len)
{
	struct wire_handle handle;
	int ret = hsm_queue(bystander, fd, arena_len, &handle);

	close(fd);
	return ret;
}

static void memory_must_be_fixed(void **state)
{
	const int good = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	const size_t len = RING_ARENA_OFFSET + 4096;

	(void)state;
	assert_int_equal(queue_with(make_memfd(len, 0), 4096), -EINVAL);
	assert_int_equal(queue_with(make_memfd(len, F_SEAL_GROW | F_SEAL_SEAL), 4096),
			 -EINVAL);
	assert_int_equal(queue_with(make_memfd(len, F_SEAL_SHRINK | F_SEAL_SEAL), 4096),
			 -EINVAL);
	assert_int_equal(queue_with(make_memfd(len, F_SEAL_SHRINK | F_SEAL_GROW), 4096),
			 -EINVAL);
	assert_int_equal(queue_with(make_memfd(len, good | F_SEAL_WRITE), 4096), -EINVAL);
	assert_int_equal(queue_with(make_memfd(len - 1, good), 4096), -EINVAL);
	assert_int_equal(queue_with(make_memfd(len, good), 8192), -EINVAL);
	assert_int_equal(queue_with(make_memfd(len, good), 0), -EINVAL);
	assert_int_equal(queue_with(make_memfd(len, good), UINT64_MAX - 4095), -EINVAL);
	assert_int_equal(queue_with(make_memfd(len - 1, good), 4095), -EINVAL);
	assert_int_equal(queue_with(open("/dev/zero", O_RDWR), 4096), -EINVAL);
	assert_int_equal(queue_with(dup(hsm_fd(bystander)), 4096), -EINVAL);
}

static void a_process_gets_its_share_of_queues(void **state)
{
	enum { MORE = 31 }; /* one is the bystander's */
	static struct queue queues[MORE + 1];
	struct hsm_client *user = use_session(keeper);

	(void)state;
	for (int i = 0; i < MORE; i++)
		attach(&queues[i], user);
	assert_int_equal(queue_init(&queues[MORE], ARENA_BYTES), 0);
	assert_int_equal(queue_attach(&queues[MORE], user), -EDQUOT);
	assert_int_equal(queue_attach(&queues[MORE], bystander), -EDQUOT);
	hsm_disconnect(user);
	for (int i = 0; i <= MORE; i++)
		queue_fini(&queues[i]);
	/* given back, if not at once */
	user = use_session(keeper);
	assert_int_equal(queue_init(&queues[0], ARENA_BYTES), 0);
	for (int i = 0; i < 100 && queue_attach(&queues[0], user) == -EDQUOT; i++)
		usleep(100 * 1000);
	assert_int_equal(queue_renew(&queues[0], user), 0);
	hsm_disconnect(user);
	queue_fini(&queues[0]);
}

/* How many of the largest rings one connection gets. */
static int nr_large_rings(void)
{
	static struct queue queues[20];
	struct hsm_client *user = use_session(keeper);
	int nr = 0, ret = 0;

	while (nr < 20 && !ret) {
		assert_int_equal(queue_init(&queues[nr], RING_ARENA_MAX), 0);
		ret = queue_attach(&queues[nr++], user);
	}
	assert_int_equal(ret, -EDQUOT);
	hsm_disconnect(user);
	for (int i = 0; i < nr; i++)
		queue_fini(&queues[i]);
	return nr - 1;
}

static void a_process_gets_its_share_of_arena(void **state)
{
	const int share = 15; /* of 1 GiB; the bystander has a little */
	int nr = nr_large_rings();

	(void)state;
	/* the test before gives back what it had, if not at once */
	for (int i = 0; i < 100 && nr < share; i++) {
		usleep(100 * 1000);
		nr = nr_large_rings();
	}
	assert_int_equal(nr, share);
}

/* How many of 20 connections get an answer. */
static int nr_admitted(void)
{
	int fds[20], nr = 0;

	for (int i = 0; i < 20; i++)
		fds[i] = connect_raw();
	for (int i = 0; i < 20; i++)
		nr += say_zeros(fds[i], WIRE_HELLO, 8) != -EPIPE;
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	return nr;
}

/* Twice, since they are given back, if not at once: those of the last test, too. */
static void a_process_gets_its_share_of_connections(void **state)
{
	const int left = 14; /* of 16, two are the fixture's */

	(void)state;
	for (int round = 0; round < 2; round++) {
		int nr = nr_admitted();

		for (int i = 0; i < 100 && nr < left; i++) {
			usleep(100 * 1000);
			nr = nr_admitted();
		}
		assert_int_equal(nr, left);
	}
	for (int i = 0; i < 100 && nr_admitted() < left; i++)
		usleep(100 * 1000);
}

/* --- rings -------------------------------------------------------------------------- */

/*
 * True when hsmd closed the connection. Before that it says which descriptor was wrong,
 * if one was, and nothing else of it.
 */
static bool breaks_with(struct ring_sqe sqe, uint32_t ahead)
{
	struct hsm_client *user = use_session(keeper);
	struct queue queue;
	struct ring_cqe cqe;
	struct pollfd end = {.fd = hsm_fd(user), .events = POLLIN};
	bool completed, closed;

	sqe.cookie = 4711;
	attach(&queue, user);
	assert_int_equal(queue_submit(&queue, &sqe), 0);
	queue.sq_tail += ahead;
	queue_flush(&queue);
	completed = await(&queue, &cqe, ahead ? 0 : ANSWER_MS);
	closed = ahead || cqe.status == -EPROTO;
	assert_true(completed == !ahead);
	if (completed)
		assert_int_equal(cqe.cookie, 4711);
	if (closed)
		assert_int_equal(poll(&end, 1, ANSWER_MS), 1);
	if (completed && closed)
		assert_int_equal(cqe.generation | cqe.len | cqe.flags, 0);
	hsm_disconnect(user);
	queue_fini(&queue);
	return closed;
}

static void descriptors_must_be_right(void **state)
{
	struct ring_sqe sqe = sqe_open();

	(void)state;
	assert_false(breaks_with(sqe, 0));
	assert_true(breaks_with(sqe, RING_ENTRIES));
	assert_true(breaks_with(sqe, UINT32_MAX / 2));
	sqe.op = 0;
	assert_true(breaks_with(sqe, 0));
	sqe.op = 255;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_open();
	sqe.src = ARENA_BYTES - 8;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_open();
	sqe.dst = UINT32_MAX;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_open();
	sqe.dst_len = CONTENT - 1;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_open();
	sqe.count = 0;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_open();
	sqe.first_page = UINT64_MAX;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_seal();
	sqe.skip = UINT32_MAX;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_seal();
	sqe.last_len = PAGE_BYTES;
	assert_true(breaks_with(sqe, 0));
	sqe = sqe_seal();
	sqe.op = RING_NAME_SEAL;
	sqe.count = RING_MAX_ITEMS + 1;
	assert_true(breaks_with(sqe, 0));
}

static void reading_replies_is_not_our_problem(void **state)
{
	const struct wire_header header = {.type = WIRE_TOKENS, .length = 16};
	struct hsm_client *hsm = connect_client();

	(void)state;
	/* until hsmd cannot answer any more; it must not wait for us with the others */
	for (int i = 0; i < 100000; i++)
		if (send(hsm_fd(hsm), &header, sizeof(header),
			 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(open_page(&quiet), 0);
	assert_int_equal(queue_renew(&quiet, bystander), 0);
	hsm_disconnect(hsm);
}

#define TEST(f) cmocka_unit_test_teardown(f, still_served)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(versions_are_agreed_on),
		TEST(only_what_the_state_permits),
		TEST(lengths_must_be_right),
		TEST(headers_must_be_right),
		TEST(passphrases_must_be_as_long_as_they_say),
		TEST(hostile_slots_cost_nothing),
		TEST(a_try_must_not_take_long),
		TEST(the_dead_get_nothing_stretched),
		TEST(memory_must_be_fixed),
		TEST(a_process_gets_its_share_of_queues),
		TEST(a_process_gets_its_share_of_arena),
		TEST(a_process_gets_its_share_of_connections),
		TEST(descriptors_must_be_right),
		TEST(reading_replies_is_not_our_problem),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
