/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and byte limits by a clock that the test sets. */
#include "tests/unit/server_fixture.h"

#include "hsm/api/secmem.h"
#include "hsm/crypto/random.h"
#include "hsm/limits.h"
#include "hsm/session.h"

enum { SECOND = 1000 };

/* --- sessions by themselves --------------------------------------------------------- */

static struct session *session;

static int session_setup(void **state)
{
	uint8_t *vmk = secmem_alloc(KEYSLOT_VMK_BYTES);

	(void)state;
	clock_set_source(fake_clock);
	session = vmk ? session_create(some_uuid, vmk) : NULL;
	return session ? 0 : -1;
}

static int session_teardown(void **state)
{
	(void)state;
	session_release(session);
	clock_set_source(NULL);
	return 0;
}

static void lease(uint64_t lease_s, uint64_t idle_s)
{
	const struct wire_ticket want = {
		.rights = WIRE_MAY_OPEN, .lease_s = lease_s, .idle_s = idle_s};
	uint8_t ticket[WIRE_TICKET_BYTES];
	struct session *same;
	uint32_t rights;

	assert_int_equal(session_ticket(session, &want, ticket), 0);
	assert_int_equal(session_redeem(ticket, &same, &rights), 0);
	assert_ptr_equal(same, session);
	session_release(same);
}

static bool stands(void)
{
	uint8_t digest[WIRE_MAC_BYTES] = {0}, mac[WIRE_MAC_BYTES];
	int ret = session_mac(session, digest, mac);

	assert_true(ret == 0 || ret == -EKEYREVOKED);
	assert_int_equal(ret == 0, session_lease_stands(session, clock_now_ms()));
	return ret == 0;
}

static struct wire_status_reply status(void)
{
	struct wire_status_reply reply;

	session_status(session, &reply);
	return reply;
}

static void lease_ends_to_the_second(void **state)
{
	(void)state;
	lease(10, 0);
	assert_int_equal(status().lease_left_s, 10);
	assert_int_equal(status().idle_left_s, UINT64_MAX);
	pass_ms(9 * SECOND);
	assert_int_equal(status().lease_left_s, 1);
	pass_ms(SECOND - 1);
	session_sweep();
	assert_true(stands());
	assert_int_equal(status().lease_left_s, 1);
	pass_ms(1);
	assert_false(stands());
	assert_int_equal(status().lease_left_s, 0);
}

static void no_lease_never_ends(void **state)
{
	(void)state;
	lease(0, 0);
	pass_ms(UINT64_C(100) * 365 * 86400 * SECOND);
	session_sweep();
	assert_true(stands());
	assert_int_equal(status().lease_left_s, UINT64_MAX);
}

static void machine_sleeps(void **state)
{
	(void)state;
	lease(8 * 3600, 0);
	pass_ms(7 * 3600 * SECOND);
	assert_true(stands());
	pass_ms(9 * 3600 * SECOND); /* nothing ran in between */
	assert_false(stands());
}

static void idle_lease_ends(void **state)
{
	(void)state;
	lease(0, 60);
	pass_ms(60 * SECOND - 1);
	assert_true(stands());
	assert_int_equal(status().idle_left_s, 1);
	pass_ms(1);
	assert_false(stands());
}

static void use_prolongs_the_idle_lease_only(void **state)
{
	(void)state;
	lease(100, 60);
	pass_ms(50 * SECOND);
	session->last_use_ms = clock_now_ms();
	pass_ms(49 * SECOND);
	assert_true(stands());
	session->last_use_ms = clock_now_ms();
	pass_ms(SECOND);
	assert_false(stands());
}

static void over_is_over(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN};
	uint8_t ticket[WIRE_TICKET_BYTES];

	(void)state;
	lease(1, 0);
	pass_ms(SECOND);
	assert_int_equal(session_ticket(session, &want, ticket), -EKEYREVOKED);
	session_sweep();
	assert_null(session->vmk);
	assert_int_equal(session_ticket(session, &want, ticket), -EKEYREVOKED);
	assert_false(stands());
}

static void sweep_takes_only_what_is_over(void **state)
{
	uint8_t *vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	struct session *other = session_create(some_uuid, vmk);

	(void)state;
	lease(5, 0);
	pass_ms(5 * SECOND);
	session_sweep();
	assert_null(session->vmk);
	assert_non_null(other->vmk);
	session_release(other);
}

static void ticket_grows_old(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN};
	uint8_t ticket[WIRE_TICKET_BYTES];
	struct session *same;
	uint32_t rights;

	(void)state;
	assert_int_equal(session_ticket(session, &want, ticket), 0);
	pass_ms(60 * SECOND - 1);
	assert_int_equal(session_redeem(ticket, &same, &rights), 0);
	session_release(same);
	assert_int_equal(session_ticket(session, &want, ticket), 0);
	pass_ms(60 * SECOND);
	assert_int_equal(session_redeem(ticket, &same, &rights), -EKEYREJECTED);
}

/* What the last ticket was redeemed for, whatever has been asked for since. */
static void terms_are_kept(void **state)
{
	const struct wire_ticket keep = {
		.rights = WIRE_MAY_OPEN, .flags = WIRE_KEEP_LIMITS, .lease_s = 1};
	const struct wire_ticket other = {.rights = WIRE_MAY_OPEN, .lease_s = 7};
	uint8_t ticket[WIRE_TICKET_BYTES], uuid[KEYSLOT_UUID_BYTES] = "unheard of";
	struct session *stranger = session_create(uuid, secmem_alloc(KEYSLOT_VMK_BYTES));
	struct session *same;
	uint32_t rights;

	(void)state;
	assert_int_equal(session_ticket(stranger, &keep, ticket), -ENODATA);
	session_release(stranger);
	lease(100, 60);
	pass_ms(30 * SECOND);
	assert_int_equal(session_ticket(session, &other, ticket), 0);
	assert_int_equal(session_ticket(session, &keep, ticket), 0);
	assert_int_equal(session_redeem(ticket, &same, &rights), 0);
	session_release(same);
	assert_int_equal(status().lease_left_s, 100);
	assert_int_equal(status().idle_left_s, 60);
}

/* Who makes a volume of the same uuid, as anybody may, changes nobody else's terms. */
static void terms_are_of_a_key(void **state)
{
	const struct wire_ticket none = {.rights = WIRE_MAY_OPEN};
	const struct wire_ticket keep = {.rights = WIRE_MAY_OPEN,
					 .flags = WIRE_KEEP_LIMITS};
	uint8_t ticket[WIRE_TICKET_BYTES], *vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	struct session *impostor, *same;
	uint32_t rights;

	(void)state;
	lease(100, 60);
	assert_non_null(vmk);
	vmk[0] = 1;
	impostor = session_create(some_uuid, vmk);
	assert_non_null(impostor);
	assert_int_equal(session_ticket(impostor, &none, ticket), 0);
	assert_int_equal(session_redeem(ticket, &same, &rights), 0);
	session_release(same);
	session_release(impostor);
	assert_int_equal(session_ticket(session, &keep, ticket), 0);
	assert_int_equal(session_redeem(ticket, &same, &rights), 0);
	session_release(same);
	assert_int_equal(status().lease_left_s, 100);
	assert_int_equal(status().idle_left_s, 60);
}

/* --- bytes per period ----------------------------------------------------------------
 */

static void limit_counts_bytes(void **state)
{
	struct limits_bytes limit;
	struct limits_report report;

	(void)state;
	limits_bytes_init(&limit);
	assert_true(limits_bytes_take(&limit, UINT64_MAX, 5));
	limits_bytes_set(&limit, 1000, 60 * SECOND, 0);
	assert_true(limits_bytes_take(&limit, 999, 10 * SECOND));
	assert_false(limits_bytes_take(&limit, 2, 20 * SECOND));
	assert_true(limits_bytes_take(&limit, 1, 20 * SECOND));
	assert_false(limits_bytes_take(&limit, 1, 60 * SECOND - 1));
	limits_bytes_report(&limit, 60 * SECOND - 1, &report);
	assert_int_equal(report.left, 0);
	assert_int_equal(report.resets_ms, 1);
	assert_int_equal(report.refused, 2);
	/* a new period, and only as much as one allows however long nobody came */
	assert_true(limits_bytes_take(&limit, 1000, 600 * SECOND));
	assert_false(limits_bytes_take(&limit, 1, 600 * SECOND));
	assert_false(limits_bytes_take(&limit, UINT64_MAX, 600 * SECOND));
	limits_bytes_fini(&limit);
}

static void limit_must_make_sense(void **state)
{
	struct wire_ticket want = {.rights = WIRE_MAY_OPEN, .limit_bytes = 1 << 20};
	uint8_t ticket[WIRE_TICKET_BYTES];

	(void)state;
	want.limit_s = 60;
	assert_int_equal(session_ticket(session, &want, ticket), -EINVAL);
	want.limit_bytes = 2 << 20;
	assert_int_equal(session_ticket(session, &want, ticket), 0);
	want.limit_s = 0;
	assert_int_equal(session_ticket(session, &want, ticket), -EINVAL);
}

/* --- with clients --------------------------------------------------------------------
 */

static struct server_fixture fixture;
static struct hsm_client *owner, *user;
static struct queue queue;

static void serve(const struct wire_ticket *want)
{
	server_begin(&fixture);
	owner = own_session();
	user = use_session_as(owner, want);
	attach(&queue, user);
	assert_int_equal(seal_page(&queue), 0);
}

static void end(void)
{
	hsm_disconnect(user);
	hsm_disconnect(owner);
	queue_fini(&queue);
	server_end(&fixture);
}

enum { LIFETIME = 30 * SECOND };

/* To the millisecond; what is renewed is another handle. */
static void expired_handle_is_refused(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL};
	struct queue old;

	(void)state;
	serve(&want);
	pass_ms(LIFETIME);
	assert_int_equal(open_page(&queue), 0);
	old = queue;
	pass_ms(LIFETIME + 1);
	assert_int_equal(open_page(&queue), -EKEYEXPIRED);
	assert_int_equal(seal_page(&queue), -EKEYEXPIRED);
	pass_ms(LIFETIME);
	assert_int_equal(open_page(&queue), -EKEYEXPIRED);
	assert_int_equal(queue_renew(&queue, user), 0);
	assert_int_equal(open_page(&queue), 0);
	memcpy(queue.handle, old.handle, sizeof(queue.handle));
	queue.generation = old.generation;
	assert_int_equal(open_page(&queue), -EKEYREJECTED);
	end();
}

static void lease_over_is_refused(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					 .lease_s = 20};
	struct wire_status_reply reply;

	(void)state;
	serve(&want);
	pass_ms(20 * SECOND - 1);
	assert_int_equal(open_page(&queue), 0);
	assert_int_equal(hsm_status(user, &reply), 0);
	assert_int_equal(reply.lease_left_s, 1);
	pass_ms(1);
	assert_int_equal(open_page(&queue), -EKEYREVOKED);
	assert_int_equal(seal_page(&queue), -EKEYREVOKED);
	assert_int_equal(queue_renew(&queue, user), -EKEYREVOKED);
	end();
}

static uint64_t stretching_takes_ms;

/* The linker puts this in the place of what keyslot.c calls (Makefile). */
int __real_kdf_passphrase(const struct keyslot_kdf *kdf, const void *pass, size_t len,
			  uint8_t out[64]);
int __wrap_kdf_passphrase(const struct keyslot_kdf *kdf, const void *pass, size_t len,
			  uint8_t out[64]);

int __wrap_kdf_passphrase(const struct keyslot_kdf *kdf, const void *pass, size_t len,
			  uint8_t out[64])
{
	pass_ms(stretching_takes_ms);
	return __real_kdf_passphrase(kdf, pass, len, out);
}

/* A slot that is being made has no key that outlives the lease. */
static void lease_ends_while_a_slot_is_made(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					 .lease_s = 20};
	const struct keyslot_kdf cheap = {1, 64, 1, {0}};
	struct keyslot slot;

	(void)state;
	serve(&want);
	assert_int_equal(hsm_add_slot(owner, 0, &cheap, 0, "p", 1, &slot), 0);
	stretching_takes_ms = 20 * SECOND;
	assert_int_equal(hsm_add_slot(owner, 1, &cheap, 0, "p", 1, &slot), -EKEYREVOKED);
	stretching_takes_ms = 0;
	end();
}

/*
 * Suspend to RAM: CLOCK_BOOTTIME jumps, nothing runs in between, and the first who asks
 * afterwards may be a client as well as the sweep.
 */
static void nothing_outlives_the_machines_sleep(void **state)
{
	const struct wire_ticket endless = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL};
	const struct wire_ticket leased = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					   .lease_s = 8 * 3600};
	const struct wire_ticket idle = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					 .idle_s = 1800};

	(void)state;
	serve(&endless);
	pass_ms(9 * 3600 * SECOND);
	assert_int_equal(open_page(&queue), -EKEYEXPIRED);
	assert_int_equal(queue_renew(&queue, user), 0);
	assert_int_equal(open_page(&queue), 0);
	end();
	serve(&leased);
	pass_ms(9 * 3600 * SECOND);
	assert_int_equal(open_page(&queue), -EKEYREVOKED);
	assert_int_equal(queue_renew(&queue, user), -EKEYREVOKED);
	end();
	serve(&idle);
	pass_ms(1799 * SECOND);
	assert_int_equal(queue_renew(&queue, user), 0);
	assert_int_equal(open_page(&queue), 0);
	pass_ms(1800 * SECOND);
	assert_int_equal(open_page(&queue), -EKEYREVOKED);
	end();
}

static void only_served_work_is_use(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					 .idle_s = 100};
	struct wire_status_reply reply;
	struct queue bad;

	(void)state;
	serve(&want);
	pass_ms(20 * SECOND);
	assert_int_equal(open_page(&queue), 0);
	pass_ms(20 * SECOND);
	bad = queue;
	memset(bad.handle, 0x55, sizeof(bad.handle));
	memcpy(queue.handle, bad.handle, sizeof(bad.handle));
	assert_int_equal(open_page(&queue), -EKEYREJECTED);
	assert_int_equal(queue_renew(&queue, user), 0);
	assert_int_equal(hsm_status(user, &reply), 0);
	assert_int_equal(reply.idle_left_s, 80);
	end();
}

/* Nobody asks for anything; within a second or so the sweep has been there. */
static void idle_client_loses_its_keys(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					 .lease_s = 3600};
	char line[512] = "", path[PATH_MAX];
	bool told = false;
	FILE *log;

	(void)state;
	serve(&want);
	pass_ms(3600 * SECOND);
	snprintf(path, sizeof(path), "%s/state/audit.jsonl", fixture.folders.dir);
	for (int i = 0; i < 1200 && !told; i++) {
		usleep(100 * 1000);
		log = fopen(path, "r");
		assert_non_null(log);
		while (fgets(line, sizeof(line), log))
			told |= strstr(line, "\"lease-over\"") != NULL;
		fclose(log);
	}
	assert_true(told);
	assert_int_equal(open_page(&queue), -EKEYREVOKED);
	end();
}

static void limit_refuses_and_says_so(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					 .limit_bytes = RING_MAX_PAGES * PAGE_BYTES,
					 .limit_s = 3600};
	const unsigned fit = RING_MAX_PAGES * PAGE_BYTES / (CONTENT + PAGE_SEAL_BYTES);
	struct wire_status_reply reply;

	(void)state;
	serve(&want);
	for (unsigned i = 0; i < fit; i++)
		assert_int_equal(open_page(&queue), 0);
	assert_int_equal(open_page(&queue), -EDQUOT);
	assert_int_equal(open_page(&queue), -EDQUOT);
	assert_int_equal(seal_page(&queue), 0); /* the handle is none the worse */
	assert_int_equal(hsm_status(user, &reply), 0);
	assert_int_equal(reply.limit_bytes, want.limit_bytes);
	assert_int_equal(reply.limit_s, 3600);
	assert_true(reply.limit_left < CONTENT + PAGE_SEAL_BYTES);
	assert_int_equal(reply.limit_resets_s, 3600);
	assert_int_equal(reply.over_limit, 2);
	assert_int_equal(reply.refused, 0);
	pass_ms(3600 * SECOND);
	assert_int_equal(queue_renew(&queue, user), 0);
	assert_int_equal(open_page(&queue), 0);
	end();
}

/*
 * What a volume was limited to is known as long as hsmd runs: then it does not end
 * because nobody is there, as it does else.
 */
static void limits_outlast_idleness(void **state)
{
	const struct wire_ticket endless = {.rights = WIRE_MAY_OPEN};
	const struct wire_ticket leased = {.rights = WIRE_MAY_OPEN, .lease_s = 3600};
	const struct wire_ticket keep = {.rights = WIRE_MAY_OPEN,
					 .flags = WIRE_KEEP_LIMITS};
	const char *const words[] = {"--idle-exit", "1", NULL};
	const struct keyslot_kdf cheap = {1, 64, 1, {0}};
	uint8_t ticket[WIRE_TICKET_BYTES];
	char path[PATH_MAX];
	struct keyslot slot;
	struct hsmd hsmd;
	uint32_t detail;

	(void)state;
	hsmd_folders(&hsmd);
	for (int limited = 0; limited <= 1; limited++) {
		hsmd_start(&hsmd, words);
		owner = own_session();
		assert_int_equal(hsm_add_slot(owner, 0, &cheap, 0, "p", 1, &slot), 0);
		user = use_session_as(owner, limited ? &leased : &endless);
		hsm_disconnect(user);
		hsm_disconnect(owner);
		if (!limited)
			assert_int_equal(waitpid(hsmd.pid, NULL, 0), hsmd.pid);
	}
	sleep(3);
	assert_int_equal(waitpid(hsmd.pid, NULL, WNOHANG), 0);
	owner = connect_client();
	assert_int_equal(hsm_unlock(owner, some_uuid, &slot, "p", 1, &detail), 0);
	assert_int_equal(hsm_ticket(owner, &keep, ticket), 0);
	hsm_disconnect(owner);
	/* nobody can ask for them any more, as after logging out */
	snprintf(path, sizeof(path), "%s/run/hsmd.sock", hsmd.dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(waitpid(hsmd.pid, NULL, 0), hsmd.pid);
	hsmd_remove(&hsmd);
}

#define SESSION(f) cmocka_unit_test_setup_teardown(f, session_setup, session_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION(lease_ends_to_the_second),
		SESSION(no_lease_never_ends),
		SESSION(machine_sleeps),
		SESSION(idle_lease_ends),
		SESSION(use_prolongs_the_idle_lease_only),
		SESSION(over_is_over),
		SESSION(sweep_takes_only_what_is_over),
		SESSION(ticket_grows_old),
		SESSION(limit_must_make_sense),
		SESSION(terms_are_kept),
		SESSION(terms_are_of_a_key),
		cmocka_unit_test(limit_counts_bytes),
		cmocka_unit_test(expired_handle_is_refused),
		cmocka_unit_test(lease_over_is_refused),
		cmocka_unit_test(lease_ends_while_a_slot_is_made),
		cmocka_unit_test(nothing_outlives_the_machines_sleep),
		cmocka_unit_test(only_served_work_is_use),
		cmocka_unit_test(idle_client_loses_its_keys),
		cmocka_unit_test(limit_refuses_and_says_so),
		cmocka_unit_test(limits_outlast_idleness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
