/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client written from hsm/PROTOCOL.md alone: every number below is from there, none
 * from a header of ours. What it seals it opens again, and the client library as well.
 */
#include "tests/unit/hsmd_fixture.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum { HEADER = 16, RING = 16384, ARENA = 65536, DESCRIPTORS = 128, COMPLETIONS = 8320 };

/* --- little helpers ----------------------------------------------------------------- */

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, 4);
}

static void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, 8);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, 8);
	return value;
}

/* --- the control connection --------------------------------------------------------- */

static int connect_to(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/hsmd.sock",
		 getenv("HSMFS_RUNTIME_DIR"));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Sends @body as a message of @type, with descriptor @pass unless it is -1. */
static void request(int fd, uint32_t type, const uint8_t *body, size_t len, int pass)
{
	uint8_t header[HEADER] = {0};
	struct iovec iov[] = {{header, HEADER}, {(void *)body, len}};
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	put32(header, type);
	put32(header + 4, (uint32_t)(HEADER + len));
	if (pass >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &pass, sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), HEADER + len);
}

/* The reply's body, of exactly @len bytes. */
static void reply(int fd, uint32_t type, uint8_t *body, size_t len)
{
	uint8_t message[12288];

	assert_int_equal(recv(fd, message, sizeof(message), 0), HEADER + len);
	assert_int_equal(get32(message), type);
	assert_int_equal(get32(message + 4), HEADER + len);
	assert_int_equal((int32_t)get32(message + 8), 0);
	if (len)
		memcpy(body, message + HEADER, len);
}

static int say_hello(void)
{
	uint8_t hello[8] = {1}, answer[120];
	int fd = connect_to();

	request(fd, 1, hello, sizeof(hello), -1);
	reply(fd, 1, answer, sizeof(answer));
	assert_int_equal(get32(answer), 1);
	assert_memory_equal(answer + 80, "\x00\x0b", 2);
	return fd;
}

/* --- a queue ------------------------------------------------------------------------ */

struct ring {
	uint8_t *shared;
	uint8_t handle[16];
	uint64_t generation;
	uint32_t head; /* of the completions */
};

static void take_handle(struct ring *ring, const uint8_t *handle, uint64_t generation)
{
	if (generation <= ring->generation)
		return;
	ring->generation = generation;
	memcpy(ring->handle, handle, 16);
}

static void attach_ring(struct ring *ring, int fd)
{
	uint8_t body[8], answer[32];
	int memfd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(memfd, RING + ARENA), 0);
	assert_int_equal(
		fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	memset(ring, 0, sizeof(*ring));
	ring->shared =
		mmap(NULL, RING + ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	assert_true(ring->shared != MAP_FAILED);
	put64(body, ARENA);
	request(fd, 8, body, sizeof(body), memfd);
	reply(fd, 8, answer, sizeof(answer));
	close(memfd);
	assert_int_equal(get32(answer), 0);
	take_handle(ring, answer + 16, get64(answer + 8));
}

static uint32_t *word(struct ring *ring, size_t offset)
{
	return (uint32_t *)(void *)(ring->shared + offset);
}

static void futex(uint32_t *at, int op, uint32_t value)
{
	const struct timespec a_second = {.tv_sec = 1};

	syscall(SYS_futex, at, op, value, op == FUTEX_WAIT ? &a_second : NULL, NULL, 0);
}

/* Fills in handle and generation, submits, waits, and returns the completion's status. */
static int run_descriptor(struct ring *ring, uint8_t descriptor[128], uint32_t *len)
{
	uint32_t tail = *word(ring, 0);
	const uint8_t *completion = ring->shared + COMPLETIONS + 64 * (ring->head % 64);

	memcpy(descriptor, ring->handle, 16);
	put64(descriptor + 16, ring->generation);
	put64(descriptor + 24, 77); /* cookie */
	memcpy(ring->shared + DESCRIPTORS + 128 * (tail % 64), descriptor, 128);
	__atomic_store_n(word(ring, 0), tail + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(word(ring, 68), __ATOMIC_RELAXED))
		futex(word(ring, 0), FUTEX_WAKE, 1);
	while (__atomic_load_n(word(ring, 64), __ATOMIC_ACQUIRE) == ring->head) {
		__atomic_store_n(word(ring, 4), 1, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(word(ring, 64), __ATOMIC_RELAXED) == ring->head)
			futex(word(ring, 64), FUTEX_WAIT, ring->head);
		__atomic_store_n(word(ring, 4), 0, __ATOMIC_RELAXED);
	}
	ring->head++;
	assert_int_equal(get64(completion), 77);
	take_handle(ring, completion + 16, get64(completion + 32));
	*len = get32(completion + 12);
	return (int32_t)get32(completion + 8);
}

/* --- the test ----------------------------------------------------------------------- */

static struct hsmd hsmd;

static int begin(void **state)
{
	(void)state;
	hsmd_folders(&hsmd);
	hsmd_start(&hsmd, NULL);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
	return 0;
}

/* A ticket for opening and sealing, of a new volume key of the connection @owner. */
static void get_ticket(int owner, uint8_t ticket[32])
{
	uint8_t want[40] = {3};

	request(owner, 2, some_uuid, 16, -1);
	reply(owner, 2, NULL, 0);
	request(owner, 6, want, sizeof(want), -1);
	reply(owner, 6, ticket, 32);
}

static void seals_and_opens(void **state)
{
	static const char text[] = "what was written";
	int owner = say_hello(), user = say_hello();
	uint8_t ticket[32], redeemed[24], descriptor[128];
	struct ring ring;
	uint32_t len;

	(void)state;
	get_ticket(owner, ticket);
	request(user, 7, ticket, sizeof(ticket), -1);
	reply(user, 7, redeemed, sizeof(redeemed));
	assert_memory_equal(redeemed, some_uuid, 16);
	assert_int_equal(get32(redeemed + 16), 3);
	attach_ring(&ring, user);

	/* SEAL of page 0, the file's last */
	memcpy(ring.shared + RING, text, sizeof(text));
	memset(descriptor, 0, sizeof(descriptor));
	descriptor[32] = 2;
	descriptor[33] = 1;
	descriptor[34] = 1;
	put32(descriptor + 36, sizeof(text));
	memset(descriptor + 40, 9, 16);
	put32(descriptor + 68, sizeof(text));
	put32(descriptor + 72, 4096);
	put32(descriptor + 76, 4096);
	assert_int_equal(run_descriptor(&ring, descriptor, &len), 0);
	assert_int_equal(len, 64 + sizeof(text));
	assert_memory_not_equal(ring.shared + RING + 4096 + 64, text, sizeof(text));

	/* OPEN, many times: each with the handle of the completion before */
	for (int i = 0; i < 1000; i++) {
		memset(descriptor, 0, sizeof(descriptor));
		descriptor[32] = 1;
		descriptor[34] = 1;
		memset(descriptor + 40, 9, 16);
		put32(descriptor + 64, 4096);
		put32(descriptor + 68, 64 + sizeof(text));
		put32(descriptor + 72, 8192);
		put32(descriptor + 76, 4096);
		memset(ring.shared + RING + 8192, 0, 4096);
		assert_int_equal(run_descriptor(&ring, descriptor, &len), 0);
		assert_int_equal(len, sizeof(text));
		assert_memory_equal(ring.shared + RING + 8192, text, sizeof(text));
	}

	/* changed, it does not verify */
	ring.shared[RING + 4096 + 70] ^= 1;
	assert_int_equal(run_descriptor(&ring, descriptor, &len), -EBADMSG);
	munmap(ring.shared, RING + ARENA);
	close(user);
	close(owner);
}

/* ADD_SLOT, then UNLOCK with what it gave. */
static void unlocks_a_slot(void **state)
{
	int owner = say_hello(), again = say_hello();
	uint8_t add[96 + 4] = {0}, slot[1944], unlock[1964 + 4], ticket[32];

	(void)state;
	get_ticket(owner, ticket);
	put32(add, 5);
	put32(add + 8, 1);
	put32(add + 12, 64);
	put32(add + 16, 1);
	put32(add + 92, 4);
	memcpy(add + 96, "pass", 4);
	request(owner, 4, add, sizeof(add), -1);
	reply(owner, 4, slot, sizeof(slot));
	assert_int_equal(get32(slot), 5);

	memcpy(unlock, some_uuid, 16);
	memcpy(unlock + 16, slot, sizeof(slot));
	put32(unlock + 1960, 4);
	memcpy(unlock + 1964, "pass", 4);
	request(again, 3, unlock, sizeof(unlock), -1);
	reply(again, 3, NULL, 0);
	close(owner);
	close(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seals_and_opens),
		cmocka_unit_test(unlocks_a_slot),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
