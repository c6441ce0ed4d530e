/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Neighbours of every bad kind, one after the other, beside a client that behaves: it
 * gets no wrong answer, and hsmd neither ends nor keeps anything of theirs. What each
 * costs it, against a neighbour that behaves but keeps a processor busy, is printed.
 *
 * HSMFS_TEST_SECONDS: how long (default 8). Meant for builds with sanitizers as well.
 */
#include "tests/unit/hsmd_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "hsm/api/runtime.h"
#include "tests/unit/scribbler.h"

enum { SLICE_MS = 100, BATCH = 16, TOO_MANY_FDS = 250 };

/* --- what neighbours begin with; they may be refused, and try again ---------------- */

struct party {
	struct hsm_client *owner, *user;
	struct queue queue;
};

static void party_end(struct party *party)
{
	hsm_disconnect(party->user);
	hsm_disconnect(party->owner);
	queue_fini(&party->queue);
}

static bool party_begin(struct party *party)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL};
	struct wire_redeem_reply reply;
	uint8_t ticket[WIRE_TICKET_BYTES];
	char why[256];

	memset(party, 0, sizeof(*party));
	if (!queue_init(&party->queue, ARENA_BYTES) &&
	    !hsm_connect(0, &party->owner, why, sizeof(why)) &&
	    !hsm_connect(0, &party->user, why, sizeof(why)) &&
	    !hsm_create(party->owner, some_uuid) &&
	    !hsm_ticket(party->owner, &want, ticket) &&
	    !hsm_redeem(party->user, ticket, &reply) &&
	    !queue_attach(&party->queue, party->user))
		return true;
	party_end(party);
	return false;
}

static int connect_raw(void)
{
	char why[256];

	return runtime_connect(why, sizeof(why));
}

static bool say_hello(int fd)
{
	const struct {
		struct wire_header header;
		struct wire_hello hello;
	} hello = {{.type = WIRE_HELLO, .length = sizeof(hello)}, {WIRE_VERSION, 0}};
	uint8_t answer[512];

	return say_raw(fd, &hello, sizeof(hello), answer, sizeof(answer)) > 0;
}

static int connect_and_greet(void)
{
	int fd = connect_raw();

	if (fd >= 0 && !say_hello(fd)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- the kinds: each a bout that its process repeats ------------------------------- */

/* Many operations in flight, all in order. */
static void be_polite(unsigned seed)
{
	const struct ring_sqe sqe = sqe_open();
	struct ring_cqe cqe;
	struct party party;

	(void)seed;
	if (!party_begin(&party))
		return;
	for (int i = 0; i < 100000; i++) {
		while (party.queue.in_flight < RING_ENTRIES / 2)
			queue_submit(&party.queue, &sqe);
		queue_flush(&party.queue);
		queue_wait(&party.queue, 10);
		while (queue_reap(&party.queue, &cqe))
			;
	}
	party_end(&party);
}

static void *burn(void *arg)
{
	volatile unsigned *count = arg;

	for (;;)
		++*count;
	return NULL;
}

/* The same, with a thread that is as busy as the scribbling one. */
static void be_busy(unsigned seed)
{
	static volatile unsigned count;
	pthread_t thread;

	if (!count && pthread_create(&thread, NULL, burn, (void *)&count))
		_exit(1);
	be_polite(seed);
}

/* Until hsmd has enough of it, or for a while. */
static void scribble_all_over(unsigned seed)
{
	static struct scribbler s;
	struct party party;

	if (!party_begin(&party))
		return;
	scribbler_start(&s, &party.queue, seed);
	scribbler_work(&s, hsm_fd(party.user));
	scribbler_stop(&s);
	party_end(&party);
}

/* Many questions at once, answers read. */
static void flood(unsigned seed)
{
	const struct wire_header header = {.type = WIRE_TOKENS, .length = sizeof(header)};
	uint8_t answer[WIRE_MESSAGE_MAX];
	int fd = connect_and_greet();

	(void)seed;
	for (int i = 0; fd >= 0 && i < 10000; i++) {
		for (int j = 0; j < BATCH; j++)
			send(fd, &header, sizeof(header), MSG_NOSIGNAL);
		for (int j = 0; j < BATCH; j++)
			recv(fd, answer, sizeof(answer), 0);
	}
	close(fd);
}

/* Asks on both ways until nothing more goes in, and takes no answer. */
static void never_read(unsigned seed)
{
	const struct wire_header header = {.type = WIRE_STATUS, .length = sizeof(header)};
	const struct ring_sqe sqe = sqe_seal();
	struct party party;

	(void)seed;
	if (!party_begin(&party))
		return;
	while (send(hsm_fd(party.user), &header, sizeof(header),
		    MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	for (int i = 0; i < 1000; i++) {
		party.queue.in_flight = 0;
		for (int j = 0; j < BATCH; j++)
			queue_submit(&party.queue, &sqe);
		queue_flush(&party.queue);
		usleep(100);
	}
	party_end(&party);
}

/* Messages that are cut off, too long, or say that they are. */
static void say_half(unsigned seed)
{
	static uint8_t message[WIRE_MESSAGE_MAX + 1000];
	struct wire_header header = {.type = 1 + seed % 16};
	size_t len = nasty(&seed) % sizeof(message);
	int fd = seed % 2 ? connect_and_greet() : connect_raw();

	header.length = nasty(&seed);
	memcpy(message, &header, sizeof(header));
	if (fd < 0)
		return;
	send(fd, message, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (seed % 3)
		shutdown(fd, SHUT_WR);
	close(fd);
}

/* Comes and goes, more often than there are places. */
static void come_and_go(unsigned seed)
{
	int fds[BATCH + 4];

	(void)seed;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = connect_raw();
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Descriptors where none are wanted, and more than anyone takes. */
static void send_fds(unsigned seed)
{
	const struct wire_header header = {.type = WIRE_TOKENS, .length = sizeof(header)};
	union {
		char buf[CMSG_SPACE(TOO_MANY_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	unsigned nr = seed % 4 ? 1 + seed % 6 : TOO_MANY_FDS;
	struct iovec iov = {(void *)&header, sizeof(header)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = CMSG_SPACE(nr * sizeof(int))};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fd = connect_and_greet(), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nr * sizeof(int));
	for (unsigned i = 0; i < nr; i++)
		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &null, sizeof(null));
	for (int i = 0; fd >= 0 && i < BATCH; i++)
		if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	if (fd >= 0)
		close(fd);
	close(null);
}

/* Takes the memory away from under hsmd as far as the kernel lets it. */
static void take_memory_away(unsigned seed)
{
	const off_t len = RING_ARENA_OFFSET + ARENA_BYTES;
	const struct ring_sqe sqe = sqe_seal();
	struct ring_cqe cqe;
	struct party party;

	if (!party_begin(&party))
		return;
	for (int i = 0; i < 2000; i++) {
		off_t at = (off_t)(nasty(&seed) % (uint32_t)len) & ~(off_t)4095;
		int fd = party.queue.memfd;

		if (queue_submit(&party.queue, &sqe))
			break;
		queue_flush(&party.queue);
		/* the ring's own pages as well: hsmd then finds nothing to do */
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 8192);
		if (!ftruncate(fd, at) || !ftruncate(fd, 2 * len) ||
		    !fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE))
			_exit(1);
		while (queue_reap(&party.queue, &cqe))
			;
		party.queue.in_flight = 0;
	}
	party_end(&party);
}

/* Ends with all that it can have in flight. */
static void die_at_work(unsigned seed)
{
	const struct ring_sqe sqe = seed % 2 ? sqe_seal() : sqe_open();
	struct party party;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (party_begin(&party)) {
			while (!queue_submit(&party.queue, &sqe))
				;
			queue_flush(&party.queue);
		}
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static struct kind {
	const char *name;
	void (*bout)(unsigned seed);
	pid_t pid;
	unsigned long done; /* by the one that behaves, beside it */
} kinds[] = {
	{.name = "polite", .bout = be_polite},
	{.name = "polite and busy", .bout = be_busy},
	{.name = "scribbling", .bout = scribble_all_over},
	{.name = "flooding", .bout = flood},
	{.name = "never reading", .bout = never_read},
	{.name = "half messages", .bout = say_half},
	{.name = "coming and going", .bout = come_and_go},
	{.name = "descriptors", .bout = send_fds},
	{.name = "memory taken away", .bout = take_memory_away},
	{.name = "dying", .bout = die_at_work},
};

enum { MEASURE = 1, NR_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void start_neighbour(struct kind *kind, unsigned seed)
{
	kind->pid = fork();
	assert_true(kind->pid >= 0);
	if (kind->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;; seed++)
			kind->bout(seed * 2654435761u);
	}
	kill(kind->pid, SIGSTOP);
}

/* --- the one that behaves ---------------------------------------------------------- */

static unsigned work_for(struct queue *queue, unsigned ms)
{
	uint64_t until = now_ms() + ms;
	unsigned done = 0;

	do {
		assert_int_equal(seal_page(queue), 0);
		assert_int_equal(open_page(queue), 0);
		done++;
	} while (now_ms() < until);
	return done;
}

static void work_beside_all(struct queue *queue, uint64_t until)
{
	do {
		for (struct kind *kind = kinds; kind < kinds + NR_KINDS; kind++) {
			kill(kind->pid, SIGCONT);
			kind->done += work_for(queue, SLICE_MS);
			kill(kind->pid, SIGSTOP);
			/* none of them ended by itself */
			assert_int_equal(waitpid(kind->pid, NULL, WNOHANG), 0);
		}
	} while (now_ms() < until);
}

static void no_neighbour_harms(void **state)
{
	const char *seconds = getenv("HSMFS_TEST_SECONDS");
	/* this process may be stopped for long, on a machine that is busy */
	const char *const patient[] = {"--handle-lifetime", "3600", NULL};
	uint64_t ms = (seconds ? (uint64_t)atoi(seconds) : 8) * 1000;
	struct hsm_client *owner, *user;
	struct queue queue;
	struct hsmd hsmd = {0};
	unsigned threads;

	(void)state;
	hsmd_folders(&hsmd);
	hsmd_start(&hsmd, patient);
	for (int i = 0; i < NR_KINDS; i++)
		start_neighbour(&kinds[i], (unsigned)(getpid() + i));
	owner = own_session();
	user = use_session(owner);
	attach(&queue, user);
	threads = hsmd_threads(&hsmd);
	work_beside_all(&queue, now_ms() + ms);
	for (int i = 0; i < NR_KINDS; i++) {
		print_message("beside %-18s %8lu operations, %3lu %%\n", kinds[i].name,
			      kinds[i].done,
			      100 * kinds[i].done / (kinds[MEASURE].done ?: 1));
		kill(kinds[i].pid, SIGKILL);
		assert_int_equal(waitpid(kinds[i].pid, NULL, 0), kinds[i].pid);
	}
	hsmd_settle(&hsmd, threads);
	assert_int_equal(open_page(&queue), 0);
	hsm_disconnect(user);
	hsm_disconnect(owner);
	queue_fini(&queue);
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_neighbour_harms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
