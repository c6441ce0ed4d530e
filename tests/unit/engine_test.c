/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that the HSM takes for a breach of protocol, and answers that are one: they
 * fail, and once. And rings that are attached anew.
 */
#include "tests/unit/hsmd_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "fs/crew.h"
#include "fs/engine.h"
#include "fs/file.h"
#include "fs/fs.h"
#include "fs/link.h"
#include "fs/pages.h"
#include "fs/worker.h"

static struct hsmd hsmd;
static struct hsm_client *owner;
static struct fs fs;
static struct worker w = {.fs = &fs};

/* What the HSM's answers become. */
static void (*lie)(struct ring_cqe *cqe);

bool __real_queue_reap(struct queue *queue, struct ring_cqe *cqe);
bool __wrap_queue_reap(struct queue *queue, struct ring_cqe *cqe);
bool __wrap_queue_reap(struct queue *queue, struct ring_cqe *cqe)
{
	bool any = __real_queue_reap(queue, cqe);

	if (any && lie)
		lie(cqe);
	return any;
}

/* Rounds of wiping that the worker has, or would have, taken part in. */
static unsigned nr_wipes;

void __wrap_crew_take_part(struct crew *crew, struct worker *worker);
void __wrap_crew_take_part(struct crew *crew, struct worker *worker)
{
	(void)crew;
	(void)worker;
	nr_wipes++;
}

void __wrap_crew_stand(struct crew *crew, struct worker *worker);
void __wrap_crew_stand(struct crew *crew, struct worker *worker)
{
	(void)crew;
	worker->has_seat = false;
}

/* Before the C library's: the store never has anything in memory. */
ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t off, int flags)
{
	(void)fd;
	(void)iov;
	(void)nr;
	(void)off;
	(void)flags;
	errno = EAGAIN;
	return -1;
}

static void get_ticket(uint8_t ticket[WIRE_TICKET_BYTES])
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL};

	assert_int_equal(hsm_ticket(owner, &want, ticket), 0);
}

/* hsmd takes few connections of a process: those before may not have ended yet. */
static void resume(void)
{
	uint8_t ticket[WIRE_TICKET_BYTES];
	char why[256] = "";
	int ret;

	for (int i = 0; i < ANSWER_MS; i++) {
		get_ticket(ticket);
		ret = link_resume(fs.link, ticket, why, sizeof(why));
		if (ret != -EPIPE)
			break;
		poll(NULL, 0, 1);
	}
	assert_int_equal(ret, 0);
}

/* Whoever waits for a suspended volume is interrupted. */
static bool is_suspended(void *request)
{
	(void)request;
	return !link_epoch(fs.link);
}

static int begin(void **state)
{
	uint8_t ticket[WIRE_TICKET_BYTES];
	char why[256] = "";

	(void)state;
	hsmd_folders(&hsmd);
	hsmd_start(&hsmd, NULL);
	owner = own_session();
	get_ticket(ticket);
	assert_int_equal(link_create(ticket, &fs.link, why, sizeof(why)), 0);
	assert_int_equal(engine_init(&w.engine), 0);
	w.interrupted = is_suspended;
	return 0;
}

static int finish(void **state)
{
	(void)state;
	engine_fini(&w.engine);
	link_destroy(fs.link);
	hsm_disconnect(owner);
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
	return 0;
}

static void count_done(struct worker *worker, struct engine_op *op)
{
	(void)worker;
	*(bool *)op->request = true;
}

static struct engine_op good_op(bool *done)
{
	return (struct engine_op){.sqe = sqe_seal(),
				  .done = count_done,
				  .interrupted = is_suspended,
				  .request = done};
}

static struct engine_op bad_op(bool *done)
{
	struct engine_op op = good_op(done);

	op.sqe.op = 99;
	return op;
}

static void works(void)
{
	bool done;
	struct engine_op op = good_op(&done);

	assert_int_equal(engine_call(&w, &op), 0);
}

static void fails_without_being_waited_for(void **state)
{
	bool done;
	struct engine_op op = bad_op(&done);

	(void)state;
	works();
	assert_int_equal(engine_call(&w, &op), -EIO);
	assert_int_equal(link_epoch(fs.link), 0);
	resume();
	works();
	assert_int_not_equal(link_epoch(fs.link), 0);
}

static void takes_no_other_along(void **state)
{
	bool done[3] = {false};
	struct engine_op ops[3] = {good_op(&done[0]), bad_op(&done[1]),
				   good_op(&done[2])};

	(void)state;
	for (int i = 0; i < 3; i++)
		engine_submit(&w, &ops[i]);
	while (!done[1]) {
		engine_run(&w);
		queue_wait(&w.engine.queue, 10);
	}
	assert_int_equal(ops[1].cqe.status, -EIO);
	assert_true(done[0]);
	assert_int_equal(ops[0].cqe.status, 0);
	assert_false(done[2]);
	resume();
	engine_finish(&w);
	assert_true(done[2]);
	assert_int_equal(ops[2].cqe.status, 0);
}

/* The connection's end is seen, and the volume resumed, before the worker looks again. */
static void fails_once_though_resumed_at_once(void **state)
{
	bool done = false;
	struct engine_op op = bad_op(&done);
	struct pollfd end = {.fd = link_fd(fs.link)};

	(void)state;
	engine_submit(&w, &op);
	queue_flush(&w.engine.queue);
	assert_int_equal(poll(&end, 1, ANSWER_MS), 1);
	link_lost(fs.link, link_epoch(fs.link));
	resume();
	engine_finish(&w);
	assert_true(done);
	assert_int_equal(op.cqe.status, -EIO);
	assert_int_not_equal(link_epoch(fs.link), 0);
	works();
}

/* The ring is attached anew while the service that had it may still be at it. */
static void nothing_comes_of_the_ring_before(void **state)
{
	bool done[8];
	struct engine_op ops[8];

	(void)state;
	for (int round = 0; round < 200; round++) {
		memset(done, 0, sizeof(done));
		works();
		for (int i = 0; i < 8; i++) {
			ops[i] = good_op(&done[i]);
			engine_submit(&w, &ops[i]);
		}
		if (round % 2)
			engine_run(&w);
		link_lost(fs.link, link_epoch(fs.link));
		resume();
		engine_finish(&w);
		for (int i = 0; i < 8; i++) {
			assert_int_equal(ops[i].cqe.status, 0);
			assert_int_equal(ops[i].cqe.len, CONTENT + PAGE_SEAL_BYTES);
		}
	}
}

static bool is_content(const uint8_t *at)
{
	for (size_t i = 0; i < CONTENT; i++)
		if (at[i] != content_at(i))
			return false;
	return true;
}

/* Seals what is in a slot of its own, which it fills. */
static struct engine_op op_in(struct engine_slot *slot, bool *done)
{
	struct engine_op op = good_op(done);

	for (size_t i = 0; i < CONTENT; i++)
		slot->data[i] = content_at(i);
	op.sqe.src = engine_offset(&w.engine, slot->data);
	op.sqe.dst = engine_offset(&w.engine, slot->sealed);
	return op;
}

static void what_is_submitted_anew_is_what_it_was(void **state)
{
	struct engine_slot *slots[ENGINE_NR_SLOTS];
	struct engine_op ops[ENGINE_NR_SLOTS];
	bool done;

	(void)state;
	works();
	for (int i = 0; i < ENGINE_NR_SLOTS; i++) {
		slots[i] = engine_slot_take(&w.engine);
		ops[i] = op_in(slots[i], &done);
	}
	link_lost(fs.link, link_epoch(fs.link));
	resume();
	for (int i = 0; i < ENGINE_NR_SLOTS; i++)
		engine_submit(&w, &ops[i]);
	engine_finish(&w);
	for (int i = 0; i < ENGINE_NR_SLOTS; i++) {
		struct ring_sqe open = sqe_open();
		struct engine_op op = {.sqe = open};

		assert_int_equal(ops[i].cqe.status, 0);
		assert_true(is_content(slots[i]->data));
		memset(slots[i]->data, 0, CONTENT);
		op.sqe.src = engine_offset(&w.engine, slots[i]->sealed);
		op.sqe.dst = engine_offset(&w.engine, slots[i]->data);
		assert_int_equal(engine_call(&w, &op), 0);
		assert_true(is_content(slots[i]->data));
		engine_slot_put(&w.engine, slots[i]);
	}
}

static void stop_hsmd(void)
{
	int status;

	kill(hsmd.pid, SIGSTOP);
	assert_int_equal(waitpid(hsmd.pid, &status, WUNTRACED), hsmd.pid);
	assert_true(WIFSTOPPED(status));
}

/* hsmd goes on, and with what the ring before has on it, to its end. */
static void let_hsmd_finish(void)
{
	struct wire_status_reply status;

	kill(hsmd.pid, SIGCONT);
	for (int i = 0; i < ANSWER_MS; i++) {
		assert_int_equal(hsm_status(owner, &status), 0);
		if (!status.queues)
			return;
		poll(NULL, 0, 1);
	}
	fail_msg("hsmd still serves the ring");
}

static uint64_t pages_sealed(void)
{
	struct wire_status_reply status;

	assert_int_equal(hsm_status(owner, &status), 0);
	return status.pages_sealed;
}

/* Gives up an operation that hsmd has not got to yet. True when it got to it after all.
 */
static bool give_up_under_way(void)
{
	struct engine_slot *slots[ENGINE_NR_SLOTS];
	uint64_t sealed = pages_sealed();
	bool done = false;
	struct engine_op op;

	slots[0] = engine_slot_take(&w.engine);
	assert_non_null(slots[0]);
	stop_hsmd();
	op = op_in(slots[0], &done);
	engine_submit(&w, &op);
	queue_flush(&w.engine.queue);
	link_lost(fs.link, link_epoch(fs.link));
	engine_finish(&w);
	assert_true(done);
	assert_int_equal(op.cqe.status, -EINTR);
	engine_slot_put(&w.engine, slots[0]);
	for (int i = 0; i < ENGINE_NR_SLOTS; i++) {
		slots[i] = engine_slot_take(&w.engine);
		assert_non_null(slots[i]);
		memset(slots[i]->sealed, 'x', PAGE_BYTES);
	}
	let_hsmd_finish();
	for (int i = 0; i < ENGINE_NR_SLOTS; i++) {
		for (int at = 0; at < PAGE_BYTES; at++)
			assert_int_equal(slots[i]->sealed[at], 'x');
		engine_slot_put(&w.engine, slots[i]);
	}
	return pages_sealed() != sealed;
}

/* hsmd may also see the end of the connection first. */
static void a_slot_that_was_given_up_is_not_written_to(void **state)
{
	bool late = false;

	(void)state;
	for (int i = 0; i < 100 && !late; i++) {
		works();
		late = give_up_under_way();
		resume();
	}
	assert_true(late);
	works();
}

static bool always(void *request)
{
	(void)request;
	return true;
}

/* It ends, and what is under way for others goes on. */
static void who_waits_for_others_can_be_interrupted(void **state)
{
	struct engine_slot *slot = engine_slot_take(&w.engine);
	bool done = false;
	struct engine_op op = op_in(slot, &done);

	(void)state;
	works();
	op.interrupted = NULL;
	engine_submit(&w, &op);
	w.interrupted = always;
	link_lost(fs.link, link_epoch(fs.link));
	assert_int_equal(engine_finish(&w), -EINTR);
	assert_int_equal(worker_may_block(&w), -EINTR);
	assert_false(done);
	w.interrupted = NULL;
	resume();
	assert_int_equal(engine_finish(&w), 0);
	assert_true(done);
	assert_int_equal(op.cqe.status, 0);
	engine_slot_put(&w.engine, slot);
	w.interrupted = is_suspended;
}

static void *release_later(void *arg)
{
	struct file *file = arg;

	usleep(300000);
	range_release(&file->pages, file->pages.held);
	return NULL;
}

/* But only while the volume is suspended: else the wait has an end. */
static void who_waits_for_pages_can_be_interrupted(void **state)
{
	struct range held = {.first = 3, .last = 5, .exclusive = true};
	struct range range = {.first = 5, .last = RANGE_END};
	struct file file;
	pthread_t thread;

	(void)state;
	file_init(&file);
	assert_true(range_try(&file.pages, &held));
	works();
	w.interrupted = always;
	assert_int_equal(pthread_create(&thread, NULL, release_later, &file), 0);
	assert_int_equal(pages_lock(&w, &file, &range), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	range_release(&file.pages, &range);

	assert_true(range_try(&file.pages, &held));
	link_lost(fs.link, link_epoch(fs.link));
	w.loop = calloc(1, sizeof(struct crew) + PAGE_BYTES);
	nr_wipes = 0;
	assert_int_equal(pages_lock(&w, &file, &range), -EINTR);
	assert_int_not_equal(nr_wipes, 0);
	free(w.loop);
	w.loop = NULL;
	assert_ptr_equal(file.pages.held, &held);
	assert_null(held.next);
	range_release(&file.pages, &held);
	resume();
	w.interrupted = is_suspended;
	works();
}

/* What is read first, and then with the HSM. */
struct reading {
	struct fetch fetch;
	struct engine_op op;
};

static void now_to_the_hsm(struct worker *worker, struct fetch *fetch, int error)
{
	assert_int_equal(error, 0);
	engine_submit(worker, &((struct reading *)fetch)->op);
}

static void interrupted_at_last(struct worker *worker, struct engine_op *op)
{
	count_done(worker, op);
	resume();
}

/* Whoever it is would wait for the resume; but a test must have an end. */
static bool has_waited_for_long(void *request)
{
	static unsigned nr;

	(void)request;
	return ++nr > 50;
}

/* Nobody sees to those whose reading was not done yet when somebody began to wait. */
static void who_waits_for_the_store_can_be_interrupted(void **state)
{
	struct engine_slot *slot = engine_slot_take(&w.engine);
	bool done[2] = {false};
	struct engine_op op = op_in(slot, &done[0]);
	struct reading reading = {.fetch = {.fd = memfd_create("store", MFD_CLOEXEC),
					    .ranges = {{.buf = slot->old, .len = 1}},
					    .done = now_to_the_hsm},
				  .op = good_op(&done[1])};

	(void)state;
	works();
	assert_int_equal(pwrite(reading.fetch.fd, "x", 1, 0), 1);
	op.interrupted = has_waited_for_long;
	reading.op.interrupted = always;
	reading.op.done = interrupted_at_last;
	w.interrupted = NULL;
	w.loop = calloc(1, sizeof(struct crew) + PAGE_BYTES);
	w.has_seat = true;
	fetch_start(&w, &reading.fetch);
	assert_ptr_equal(w.fetches.first, &reading.fetch);
	engine_submit(&w, &op);
	link_lost(fs.link, link_epoch(fs.link));
	assert_int_equal(worker_finish(&w), 0);
	assert_true(done[1]);
	assert_int_equal(reading.op.cqe.status, -EINTR);
	assert_true(done[0]);
	assert_int_equal(op.cqe.status, 0);
	free(w.loop);
	w.loop = NULL;
	w.interrupted = is_suspended;
	close(reading.fetch.fd);
	engine_slot_put(&w.engine, slot);
}

/* Nothing is submitted: what is zeroed under a service that has done something ends it.
 */
static void a_ring_is_not_served_twice(void **state)
{
	uint32_t epoch;
	int ret;

	(void)state;
	link_lost(fs.link, link_epoch(fs.link));
	resume();
	while ((ret = link_attach(fs.link, &w.engine.queue, &epoch)) == -EBUSY)
		poll(NULL, 0, 1);
	assert_int_equal(ret, 0);
	assert_int_equal(link_attach(fs.link, &w.engine.queue, &epoch), -EBUSY);
	link_lost(fs.link, link_epoch(fs.link));
	resume();
	works();
}

static void longer(struct ring_cqe *cqe)
{
	cqe->len++;
}

static void shorter(struct ring_cqe *cqe)
{
	cqe->len--;
}

static void huge(struct ring_cqe *cqe)
{
	cqe->len = UINT32_MAX;
}

static void unknown_flag(struct ring_cqe *cqe)
{
	cqe->flags |= 1 << 16;
}

static void hole(struct ring_cqe *cqe)
{
	cqe->flags |= RING_SAW_HOLE;
}

static void header_of_another_page(struct ring_cqe *cqe)
{
	cqe->header_flags = 1;
}

static void no_error(struct ring_cqe *cqe)
{
	cqe->status = 7;
}

static void no_errno(struct ring_cqe *cqe)
{
	cqe->status = -4000;
}

static void interrupted(struct ring_cqe *cqe)
{
	cqe->status = -EINTR;
}

static void page_that_is_not_there(struct ring_cqe *cqe)
{
	cqe->status = -EBADMSG;
	cqe->bad_page = 1;
}

static void bad_page(struct ring_cqe *cqe)
{
	cqe->status = -EBADMSG;
	cqe->bad_page = 0;
}

static int told(struct ring_sqe sqe, void (*how)(struct ring_cqe *cqe))
{
	struct engine_op op = {.sqe = sqe};
	int ret;

	lie = how;
	ret = engine_call(&w, &op);
	lie = NULL;
	if (ret)
		assert_true(!op.cqe.len && !op.cqe.flags && !op.cqe.header_flags);
	return ret;
}

static struct ring_sqe sqe_name(void)
{
	const struct ring_string name = {.len = 4};
	struct ring_sqe sqe = {.op = RING_NAME_SEAL,
			       .count = 1,
			       .src = AT_DATA,
			       .src_len = (uint32_t)ring_string_size(4),
			       .dst = AT_OPENED,
			       .dst_len = PAGE_BYTES};

	memset(w.engine.queue.arena + AT_DATA, 'x', sqe.src_len);
	memcpy(w.engine.queue.arena + AT_DATA, &name, sizeof(name));
	memcpy(sqe.file_id, some_file, sizeof(sqe.file_id));
	return sqe;
}

static void lies_are_not_believed(void **state)
{
	static void (*const lies[])(struct ring_cqe *) = {
		longer,	     shorter,
		huge,	     unknown_flag,
		hole,	     header_of_another_page,
		no_error,    no_errno,
		interrupted, page_that_is_not_there,
	};

	(void)state;
	works();
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		assert_int_equal(told(sqe_seal(), lies[i]), -EIO);
		assert_int_equal(told(sqe_seal(), NULL), 0);
		assert_int_equal(told(sqe_open(), lies[i]), -EIO);
		assert_int_equal(told(sqe_open(), NULL), 0);
	}
	assert_int_equal(told(sqe_open(), bad_page), -EBADMSG);
	assert_int_equal(told(sqe_name(), huge), -EIO);
	assert_int_equal(told(sqe_name(), NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fails_without_being_waited_for),
		cmocka_unit_test(takes_no_other_along),
		cmocka_unit_test(fails_once_though_resumed_at_once),
		cmocka_unit_test(nothing_comes_of_the_ring_before),
		cmocka_unit_test(what_is_submitted_anew_is_what_it_was),
		cmocka_unit_test(a_slot_that_was_given_up_is_not_written_to),
		cmocka_unit_test(who_waits_for_others_can_be_interrupted),
		cmocka_unit_test(who_waits_for_pages_can_be_interrupted),
		cmocka_unit_test(who_waits_for_the_store_can_be_interrupted),
		cmocka_unit_test(a_ring_is_not_served_twice),
		cmocka_unit_test(lies_are_not_believed),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
