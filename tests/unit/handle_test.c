/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: their chain by itself, and every misuse of them against a real hsmd. */
#include "tests/unit/hsmd_fixture.h"

#include "hsm/crypto/random.h"
#include "hsm/handle.h"

/* --- the chain ---------------------------------------------------------------------- */

enum { LIFETIME_MS = 30000, T0 = 1000000 };

struct value {
	uint8_t bytes[WIRE_HANDLE_BYTES];
	uint64_t generation;
};

static struct handle_chain chain;
static struct random_pool *pool;

static int chain_setup(void **state)
{
	(void)state;
	pool = random_create();
	handle_init(&chain, LIFETIME_MS);
	return pool ? 0 : -1;
}

static int chain_teardown(void **state)
{
	(void)state;
	random_destroy(pool);
	return 0;
}

static struct value issue(uint64_t now)
{
	struct value v;

	assert_int_equal(handle_issue(&chain, pool, now, v.bytes, &v.generation), 0);
	return v;
}

static int check(const struct value *v, uint64_t now)
{
	return handle_check(&chain, now, v->bytes, v->generation);
}

static void replaced_and_used_is_dead(void **state)
{
	struct value first = issue(T0), second = issue(T0), third;

	(void)state;
	assert_int_equal(check(&first, T0), 0);
	assert_int_equal(check(&first, T0), 0); /* replaced, but not used: in flight */
	assert_int_equal(check(&second, T0), 0);
	assert_int_equal(check(&first, T0), -EKEYREJECTED);
	third = issue(T0);
	assert_int_equal(check(&third, T0), 0);
	assert_int_equal(check(&second, T0), -EKEYREJECTED);
	assert_int_equal(check(&first, T0), -EKEYREJECTED);
	assert_int_equal(check(&third, T0), 0);
}

static void refused_handle_kills_nothing(void **state)
{
	struct value first = issue(T0), second = issue(T0), bad = second;

	(void)state;
	bad.bytes[15] ^= 1;
	assert_int_equal(check(&bad, T0), -EKEYREJECTED);
	assert_int_equal(check(&first, T0), 0);
	assert_int_equal(check(&second, T0), 0);
}

static void every_bit_counts(void **state)
{
	struct value right = issue(T0);

	(void)state;
	for (int bit = 0; bit < WIRE_HANDLE_BYTES * 8; bit++) {
		struct value bad = right;

		bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(check(&bad, T0), -EKEYREJECTED);
	}
	assert_int_equal(check(&right, T0), 0);
}

static void generation_must_fit(void **state)
{
	struct value first = issue(T0), second = issue(T0);
	const uint64_t wrong[] = {
		0, 2, 3, 1 + HANDLE_WINDOW, UINT64_MAX, 1 - (uint64_t)HANDLE_WINDOW};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct value bad = first;

		bad.generation = wrong[i];
		assert_int_equal(check(&bad, T0), -EKEYREJECTED);
	}
	assert_int_equal(check(&first, T0), 0);
	assert_int_equal(check(&second, T0), 0);
}

static void nothing_before_the_first(void **state)
{
	const struct value zero = {{0}, 0}, one = {{0}, 1};

	(void)state;
	assert_int_equal(check(&zero, T0), -EKEYREJECTED);
	assert_int_equal(check(&one, T0), -EKEYREJECTED);
}

static void lifetime_ends_to_the_millisecond(void **state)
{
	struct value v = issue(T0), next;

	(void)state;
	assert_int_equal(check(&v, T0 + LIFETIME_MS), 0);
	/* that was a use: the lifetime runs anew */
	assert_int_equal(check(&v, T0 + 2 * LIFETIME_MS), 0);
	assert_int_equal(check(&v, T0 + 3 * LIFETIME_MS + 1), -EKEYEXPIRED);
	/* and a refused use does not prolong it */
	assert_int_equal(check(&v, T0 + 3 * LIFETIME_MS + 2), -EKEYEXPIRED);
	assert_int_equal(handle_renew(&chain, pool, T0 + 4 * LIFETIME_MS, next.bytes,
				      &next.generation),
			 0);
	assert_int_equal(check(&v, T0 + 4 * LIFETIME_MS), -EKEYREJECTED);
	assert_int_equal(check(&next, T0 + 5 * LIFETIME_MS), 0);
}

static void machine_sleeps(void **state)
{
	struct value v = issue(T0);

	(void)state;
	/* the clock goes on while the machine does not: one jump of nine hours */
	assert_int_equal(check(&v, T0 + UINT64_C(9) * 3600 * 1000), -EKEYEXPIRED);
}

static void window_is_finite(void **state)
{
	struct value first = issue(T0), edge;

	(void)state;
	edge = issue(T0);
	for (int i = 0; i < HANDLE_WINDOW - 1; i++)
		issue(T0);
	assert_int_equal(check(&first, T0), -EKEYREJECTED);
	assert_int_equal(check(&edge, T0), 0);
}

/* --- a real hsmd -------------------------------------------------------------------- */

/* Two connections of one session, a bystander with another, and a queue each. */
struct scene {
	struct hsmd hsmd;
	struct hsm_client *owner, *user, *second, *stranger_owner, *stranger;
	struct queue queue, sibling, other, foreign;
};

static struct scene scene;

static void open_scene(void)
{
	scene.owner = own_session();
	scene.user = use_session(scene.owner);
	scene.second = use_session(scene.owner);
	scene.stranger_owner = own_session();
	scene.stranger = use_session(scene.stranger_owner);
	attach(&scene.queue, scene.user);
	attach(&scene.sibling, scene.user);
	attach(&scene.other, scene.second);
	attach(&scene.foreign, scene.stranger);
	assert_int_equal(seal_page(&scene.queue), 0);
	assert_int_equal(open_page(&scene.queue), 0);
	assert_int_equal(seal_page(&scene.foreign), 0);
}

static void close_scene(void)
{
	hsm_disconnect(scene.owner);
	hsm_disconnect(scene.user);
	hsm_disconnect(scene.second);
	hsm_disconnect(scene.stranger_owner);
	hsm_disconnect(scene.stranger);
	queue_fini(&scene.queue);
	queue_fini(&scene.sibling);
	queue_fini(&scene.other);
	queue_fini(&scene.foreign);
}

static int scene_setup(void **state)
{
	(void)state;
	hsmd_folders(&scene.hsmd);
	hsmd_start(&scene.hsmd, NULL);
	open_scene();
	return 0;
}

/* Whatever happened in the test, others are still served. */
static int scene_teardown(void **state)
{
	(void)state;
	assert_int_equal(queue_renew(&scene.foreign, scene.stranger), 0);
	assert_int_equal(open_page(&scene.foreign), 0);
	close_scene();
	hsmd_stop(&scene.hsmd);
	hsmd_remove(&scene.hsmd);
	return 0;
}

static void take_handle(struct queue *to, const struct queue *from)
{
	memcpy(to->handle, from->handle, sizeof(to->handle));
	to->generation = from->generation;
}

/* What @queue gets with the handle of @from; its own works before and after. */
static int open_with(struct queue *queue, const struct queue *from)
{
	struct queue saved;
	int status;

	memcpy(queue->arena + AT_SEALED, scene.queue.arena + AT_SEALED, PAGE_BYTES);
	assert_int_equal(open_page(queue), 0);
	saved = *queue;
	take_handle(queue, from);
	status = open_page(queue);
	take_handle(queue, &saved);
	assert_int_equal(open_page(queue), 0);
	return status;
}

static void replayed(void **state)
{
	struct queue old = scene.queue;

	(void)state;
	assert_int_equal(open_page(&scene.queue), 0); /* uses it, gets another */
	assert_int_equal(open_page(&scene.queue), 0); /* uses that */
	assert_int_equal(open_with(&scene.queue, &old), -EKEYREJECTED);
}

static void of_another_connection(void **state)
{
	(void)state;
	assert_int_equal(open_with(&scene.other, &scene.queue), -EKEYREJECTED);
	/* nor did it cost the one it belongs to anything */
	assert_int_equal(open_page(&scene.queue), 0);
}

static void of_another_queue(void **state)
{
	(void)state;
	assert_int_equal(open_with(&scene.sibling, &scene.queue), -EKEYREJECTED);
	assert_int_equal(open_page(&scene.queue), 0);
}

static void of_another_session(void **state)
{
	(void)state;
	memset(scene.queue.arena + AT_OPENED, 0, PAGE_BYTES);
	assert_int_equal(open_with(&scene.queue, &scene.foreign), -EKEYREJECTED);
	/* and with a right handle, another session's page is only noise */
	memcpy(scene.foreign.arena + AT_SEALED, scene.queue.arena + AT_SEALED,
	       PAGE_BYTES);
	assert_int_equal(open_page(&scene.foreign), -EBADMSG);
	assert_int_equal(seal_page(&scene.foreign), 0);
}

static void guessed(void **state)
{
	struct queue guess = scene.queue;
	struct wire_status_reply before, after;

	(void)state;
	assert_int_equal(hsm_status(scene.user, &before), 0);
	for (int i = 0; i < 100; i++) {
		guess.generation = scene.queue.generation + (uint64_t)(i % 3);
		assert_int_equal(random_bytes(guess.handle, sizeof(guess.handle)), 0);
		assert_int_equal(open_with(&scene.queue, &guess), -EKEYREJECTED);
	}
	assert_int_equal(hsm_status(scene.user, &after), 0);
	assert_int_equal(after.refused - before.refused, 100);
}

static void locked(void **state)
{
	(void)state;
	assert_int_equal(hsm_lock(scene.second), 0);
	assert_int_equal(open_page(&scene.queue), -EKEYREVOKED);
	assert_int_equal(seal_page(&scene.queue), -EKEYREVOKED);
	assert_int_equal(queue_renew(&scene.queue, scene.user), -EKEYREVOKED);
	assert_int_equal(open_page(&scene.queue), -EKEYREVOKED);
}

/* (when exactly, and what an expired handle gets, is in lease_test.c) */
static void lease_over(void **state)
{
	const struct wire_ticket brief = {.rights = WIRE_MAY_OPEN, .lease_s = 1};
	struct hsm_client *user = use_session_as(scene.owner, &brief);

	(void)state;
	usleep(1050 * 1000);
	assert_int_equal(open_page(&scene.queue), -EKEYREVOKED);
	assert_int_equal(queue_renew(&scene.queue, scene.user), -EKEYREVOKED);
	assert_int_equal(open_page(&scene.queue), -EKEYREVOKED);
	hsm_disconnect(user);
}

static void read_only_does_not_seal(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN};
	struct hsm_client *reader = use_session_as(scene.owner, &want);
	struct ring_sqe sqe = sqe_seal();
	struct queue queue;

	(void)state;
	attach(&queue, reader);
	assert_int_equal(seal_page(&queue), -EACCES);
	sqe.op = RING_BLOB_SEAL;
	assert_int_equal(run(&queue, &sqe).status, -EACCES);
	for (size_t i = 0; i < PAGE_BYTES; i++)
		assert_int_equal(queue.arena[AT_SEALED + i], 0);
	memcpy(queue.arena + AT_SEALED, scene.queue.arena + AT_SEALED, PAGE_BYTES);
	assert_int_equal(open_page(&queue), 0);
	queue_fini(&queue);
	hsm_disconnect(reader);
}

static void after_restart(void **state)
{
	struct queue old = scene.queue;
	struct ring_cqe cqe;
	struct ring_sqe sqe = sqe_open();

	(void)state;
	hsmd_kill(&scene.hsmd);
	assert_int_equal(queue_submit(&scene.queue, &sqe), 0);
	queue_flush(&scene.queue);
	assert_false(await(&scene.queue, &cqe, 200));
	assert_int_equal(hsm_renew(scene.user, 0, &(struct wire_handle){0}), -EPIPE);

	close_scene();
	hsmd_start(&scene.hsmd, NULL);
	open_scene();
	assert_int_equal(open_with(&scene.queue, &old), -EKEYREJECTED);
}

/* The child has the parent's memory and its descriptors, but is not the client. */
static void child_of_the_client(void **state)
{
	int fd = hsm_fd(scene.user), status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(-say_type(fd, WIRE_STATUS));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EPERM);
	assert_int_equal(open_page(&scene.queue), 0);
	assert_int_equal(queue_renew(&scene.queue, scene.user), 0);
}

/* A client that dies while its child lives on with socket, ring and newest handle. */
static int be_survived(const uint8_t *ticket, const uint8_t *page, int report)
{
	struct hsm_client *user = connect_client();
	const struct ring_sqe sqe = sqe_open();
	struct wire_redeem_reply reply;
	pid_t parent = getpid();
	struct queue queue;
	struct ring_cqe cqe;
	int served[2], waited_ms = 0;

	if (hsm_redeem(user, ticket, &reply))
		return 1;
	attach(&queue, user);
	memcpy(queue.arena + AT_SEALED, page, PAGE_BYTES);
	if (open_page(&queue))
		return 2;
	if (fork())
		return 0;
	while (getppid() == parent)
		usleep(1000);
	/* until hsmd has seen it too */
	do
		usleep(1000);
	while (say_type(hsm_fd(user), WIRE_STATUS) != -EPIPE && ++waited_ms < ANSWER_MS);
	queue_submit(&queue, &sqe);
	queue_flush(&queue);
	served[0] = await(&queue, &cqe, 300);
	served[1] = say_type(hsm_fd(user), WIRE_STATUS);
	return write(report, served, sizeof(served)) != sizeof(served);
}

static void child_outlives_the_client(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN};
	uint8_t ticket[WIRE_TICKET_BYTES];
	int served[2] = {-1, 0};
	int fds[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(hsm_ticket(scene.owner, &want, ticket), 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
		_exit(be_survived(ticket, scene.queue.arena + AT_SEALED, fds[1]));
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], served, sizeof(served)), sizeof(served));
	assert_int_equal(served[0], 0);
	assert_int_equal(served[1], -EPIPE);
	close(fds[0]);
}

/* Asks until no more questions go in and reads no answer; its child holds the socket. */
static int be_silent(int report)
{
	const struct wire_header ask = {.type = WIRE_TOKENS, .length = sizeof(ask)};
	int fd = hsm_fd(connect_client()), waited_ms = 0, closed;

	while (send(fd, &ask, sizeof(ask), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	if (errno != EAGAIN)
		return 1;
	if (fork())
		return 0;
	do
		usleep(1000);
	while (!(closed = send(fd, &ask, sizeof(ask), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
			  errno == EPIPE) &&
	       ++waited_ms < ANSWER_MS);
	return write(report, &closed, sizeof(closed)) != sizeof(closed);
}

static void hsmd_sees_an_end_while_it_waits_for_a_reader(void **state)
{
	int fds[2], status, closed = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
		_exit(be_silent(fds[1]));
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], &closed, sizeof(closed)), sizeof(closed));
	assert_true(closed);
	close(fds[0]);
}

static int compare_handles(const void *a, const void *b)
{
	return memcmp(a, b, WIRE_HANDLE_BYTES);
}

static void no_two_replies_alike(void **state)
{
	enum { EACH = 5000 };
	static uint8_t all[2 * EACH][WIRE_HANDLE_BYTES];
	const struct ring_sqe sqe = sqe_open();
	struct queue *queues[] = {&scene.queue, &scene.sibling};

	(void)state;
	for (size_t i = 0; i < 2 * EACH; i++) {
		struct ring_cqe cqe = run(queues[i % 2], &sqe);

		memcpy(all[i], cqe.handle, WIRE_HANDLE_BYTES);
		assert_int_equal(cqe.generation, queues[i % 2]->generation);
	}
	qsort(all, 2 * EACH, WIRE_HANDLE_BYTES, compare_handles);
	for (size_t i = 1; i < 2 * EACH; i++)
		assert_memory_not_equal(all[i - 1], all[i], WIRE_HANDLE_BYTES);
}

static void ticket_works_once(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN};
	struct hsm_client *hsm = connect_client();
	struct wire_redeem_reply reply;
	uint8_t ticket[WIRE_TICKET_BYTES], bad[WIRE_TICKET_BYTES];

	(void)state;
	assert_int_equal(hsm_ticket(scene.owner, &want, ticket), 0);
	memcpy(bad, ticket, sizeof(bad));
	bad[31] ^= 0x80;
	assert_int_equal(hsm_redeem(hsm, bad, &reply), -EKEYREJECTED);
	assert_int_equal(hsm_redeem(hsm, ticket, &reply), 0);
	hsm_disconnect(hsm);
	hsm = connect_client();
	assert_int_equal(hsm_redeem(hsm, ticket, &reply), -EKEYREJECTED);
	hsm_disconnect(hsm);
}

#define CHAIN(f) cmocka_unit_test_setup_teardown(f, chain_setup, chain_teardown)
#define SCENE(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHAIN(replaced_and_used_is_dead),
		CHAIN(refused_handle_kills_nothing),
		CHAIN(every_bit_counts),
		CHAIN(generation_must_fit),
		CHAIN(nothing_before_the_first),
		CHAIN(lifetime_ends_to_the_millisecond),
		CHAIN(machine_sleeps),
		CHAIN(window_is_finite),
		SCENE(replayed),
		SCENE(of_another_connection),
		SCENE(of_another_queue),
		SCENE(of_another_session),
		SCENE(guessed),
		SCENE(locked),
		SCENE(lease_over),
		SCENE(read_only_does_not_seal),
		SCENE(after_restart),
		SCENE(child_of_the_client),
		SCENE(child_outlives_the_client),
		SCENE(hsmd_sees_an_end_while_it_waits_for_a_reader),
		SCENE(no_two_replies_alike),
		SCENE(ticket_works_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
