/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a session is locked, its keys are gone: the whole memory of the process that
 * serves it is searched, secret memory included, as nobody outside could.
 */
#include "tests/unit/server_fixture.h"

#include <sys/uio.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/kdf.h"
#include "hsm/heap.h"
#include "hsm/keyslot.h"
#include "hsm/service.h"
#include "hsm/session.h"

enum { NR_KEYS = 7, MASK = 0xa5 };

/*
 * The beginning of each key, masked so that the test's own copy is not found. An expanded
 * AES key begins with the key itself, so that key schedules are found as well.
 */
static struct secret {
	const char *label;
	uint8_t masked[16];
	unsigned found;
} secrets[NR_KEYS] = {{.label = "volume key"},
		      {.label = "name key"},
		      {.label = "blob key"},
		      {.label = "file key"},
		      {.label = "passphrase"},
		      {.label = "TPM auth value"},
		      {.label = "passphrase's half of the KEK"}};

static void remember(struct secret *secret, const uint8_t *key)
{
	for (size_t i = 0; i < sizeof(secret->masked); i++)
		secret->masked[i] = key[i] ^ MASK;
}

static void search(const void *bytes, size_t len, void *arg)
{
	const uint8_t *at = bytes;

	(void)arg;
	for (size_t i = 0; i + 16 <= len; i++) {
		for (size_t k = 0; k < NR_KEYS; k++) {
			size_t n = 0;

			while (n < 16 && (at[i + n] ^ MASK) == secrets[k].masked[n])
				n++;
			secrets[k].found += n == 16;
		}
	}
}

enum { COPY_BYTES = 65536 };

/* Threads that end unmap what they had: what is gone is passed over, not read. */
static void search_copied(unsigned long start, unsigned long end, uint8_t *copy)
{
	const unsigned long overlap = sizeof(secrets[0].masked) - 1;

	while (start < end) {
		size_t len = end - start < COPY_BYTES ? end - start : COPY_BYTES;
		struct iovec to = {copy, len}, from = {(void *)start, len};
		ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

		assert_true(n >= 0 || errno == EFAULT);
		if (n > 0)
			search(copy, (size_t)n, NULL);
		start += len == COPY_BYTES ? len - overlap : len;
	}
}

/* Ordinary memory that can be read: heap, stacks, data of all libraries. */
static void search_ordinary(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512], perms[8], name[256];
	uint8_t *copy = secmem_alloc(COPY_BYTES); /* not to be found itself */

	assert_non_null(maps);
	assert_non_null(copy);
	while (fgets(line, sizeof(line), maps)) {
		name[0] = '\0';
		if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &start, &end, perms,
			   name) < 3 ||
		    strncmp(perms, "rw", 2) || strstr(name, "secretmem") ||
		    strstr(name, "[vvar"))
			continue;
		search_copied(start, end, copy);
	}
	secmem_free(copy);
	fclose(maps);
}

static void search_everything(void)
{
	for (size_t k = 0; k < NR_KEYS; k++)
		secrets[k].found = 0;
	search_ordinary();
	for (size_t k = 0; k < NR_KEYS; k++)
		if (secrets[k].found && !strcmp(secmem_kind(), "memfd_secret"))
			fail_msg("%s in ordinary memory", secrets[k].label);
	secmem_visit(search, NULL);
}

static void remember_derived(const uint8_t *vmk, const char *label, const uint8_t *id,
			     struct secret *secret)
{
	uint8_t *key = secmem_alloc(32);

	assert_non_null(key);
	assert_int_equal(kdf_expand(vmk, label, id, id ? PAGE_ID_BYTES : 0, key, 32), 0);
	remember(secret, key);
	secmem_free(key);
}

static void remember_all(const uint8_t *vmk)
{
	uint8_t *siv_key = secmem_alloc(64);

	remember(&secrets[0], vmk);
	assert_int_equal(kdf_expand(vmk, KDF_LABEL_NAME, NULL, 0, siv_key, 64), 0);
	remember(&secrets[1], siv_key);
	assert_int_equal(kdf_expand(vmk, KDF_LABEL_BLOB, NULL, 0, siv_key, 64), 0);
	remember(&secrets[2], siv_key);
	secmem_free(siv_key);
	remember_derived(vmk, KDF_LABEL_FILE, some_file, &secrets[3]);
}

static const uint8_t passphrase[] = "a passphrase of the test";

static void remember_passphrase(const struct keyslot_kdf *kdf)
{
	uint8_t *stretched = secmem_alloc(KDF_PASSPHRASE_BYTES);

	assert_int_equal(kdf_passphrase(kdf, passphrase, sizeof(passphrase), stretched),
			 0);
	remember(&secrets[4], passphrase);
	remember(&secrets[5], stretched);
	remember(&secrets[6], stretched + 32);
	secmem_free(stretched);
}

static struct server_fixture fixture;
static struct hsm_client *owner, *user;
static struct queue queue;

/*
 * A session whose key the test knows: wrapped in a slot, and unwrapped once by the test
 * on the server's token.
 */
static void open_known_session(void)
{
	const struct keyslot_kdf cheap = {1, 64, 1, {0}};
	struct keyslot slot;
	const char *preload = getenv("LD_PRELOAD");
	uint8_t *vmk;
	uint32_t wait_s;

	/* their memory is too much to search, and not all of it may be read */
	if (!heap_is_wiped() || (preload && strstr(preload, "vgpreload")))
		skip();
	vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	server_begin(&fixture);
	owner = own_session();
	assert_int_equal(
		hsm_add_slot(owner, 0, &cheap, 0, passphrase, sizeof(passphrase), &slot),
		0);
	hsm_disconnect(owner);
	assert_int_equal(keyslot_unwrap(fixture.hsm.tokens[0], some_uuid, &slot,
					passphrase, sizeof(passphrase), vmk, &wait_s),
			 0);
	remember_all(vmk);
	secmem_free(vmk);
	remember_passphrase(&slot.kdf);

	owner = connect_client();
	assert_int_equal(hsm_unlock(owner, some_uuid, &slot, passphrase,
				    sizeof(passphrase), &wait_s),
			 0);
	user = use_session(owner);
	attach(&queue, user);
	assert_int_equal(seal_page(&queue), 0);
	assert_int_equal(open_page(&queue), 0);
}

static void close_session(void)
{
	hsm_disconnect(user);
	hsm_disconnect(owner);
	queue_fini(&queue);
	server_end(&fixture);
}

static void expect_keys_in_secret_memory(void)
{
	search_everything();
	assert_true(secrets[0].found); /* or else the search is no good */
	assert_true(secrets[3].found);
}

static bool any_keys(void)
{
	unsigned found = 0;

	search_everything();
	for (size_t k = 0; k < NR_KEYS; k++)
		found += secrets[k].found;
	return found != 0;
}

static void expect_no_keys(void)
{
	search_everything();
	for (size_t k = 0; k < NR_KEYS; k++)
		if (secrets[k].found)
			fail_msg("%s is still there, %u times", secrets[k].label,
				 secrets[k].found);
}

static void locking_wipes(void **state)
{
	(void)state;
	open_known_session();
	expect_keys_in_secret_memory();
	assert_int_equal(hsm_lock(owner), 0);
	expect_no_keys();
	assert_int_equal(open_page(&queue), -EKEYREVOKED);
	expect_no_keys();
	close_session();
}

/* The linker puts this in the place of what session.c calls (Makefile). */
static bool wipe_is_broken;

void __real_service_wipe(struct service *service);
void __wrap_service_wipe(struct service *service);

void __wrap_service_wipe(struct service *service)
{
	if (!wipe_is_broken)
		__real_service_wipe(service);
}

/* The proof that the other tests could fail. */
static void broken_wipe_is_noticed(void **state)
{
	(void)state;
	open_known_session();
	wipe_is_broken = true;
	assert_int_equal(hsm_lock(owner), 0);
	search_everything();
	assert_false(secrets[0].found);
	for (size_t k = 1; k < 4; k++)
		if (!secrets[k].found)
			fail_msg("%s was not wiped, but is not found", secrets[k].label);
	wipe_is_broken = false;
	close_session();
	expect_no_keys();
}

static void end_of_the_lease_wipes(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN, .lease_s = 60};
	struct hsm_client *leaser;

	(void)state;
	open_known_session();
	leaser = use_session_as(owner, &want);
	pass_ms(59999);
	session_sweep();
	expect_keys_in_secret_memory();
	pass_ms(1);
	session_sweep();
	expect_no_keys();
	hsm_disconnect(leaser);
	close_session();
}

static void last_client_takes_the_keys_along(void **state)
{
	(void)state;
	open_known_session();
	expect_keys_in_secret_memory();
	hsm_disconnect(owner);
	expect_keys_in_secret_memory();
	hsm_disconnect(user);
	owner = user = NULL;
	/* the connections' threads notice when they run */
	for (int i = 0; i < 100 && any_keys(); i++)
		usleep(100 * 1000);
	expect_no_keys();
	close_session();
}

/* --- tickets ------------------------------------------------------------------------ */

static void fifth_ticket_voids_the_first(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN};
	uint8_t *vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	struct session *session = session_create(some_uuid, vmk), *same;
	uint8_t tickets[5][WIRE_TICKET_BYTES];
	uint32_t rights;

	(void)state;
	clock_set_source(fake_clock);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(session_ticket(session, &want, tickets[i]), 0);
		pass_ms(1);
	}
	assert_int_equal(session_redeem(tickets[0], &same, &rights), -EKEYREJECTED);
	for (int i = 1; i < 5; i++) {
		assert_int_equal(session_redeem(tickets[i], &same, &rights), 0);
		assert_ptr_equal(same, session);
		session_release(same);
	}
	session_release(session);
	clock_set_source(NULL);
}

static void tickets_die_with_their_session(void **state)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN};
	uint8_t *vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	struct session *session = session_create(some_uuid, vmk), *same;
	uint8_t of_locked[WIRE_TICKET_BYTES], of_gone[WIRE_TICKET_BYTES];
	uint32_t rights;

	(void)state;
	assert_int_equal(session_ticket(session, &want, of_locked), 0);
	session_lock(session);
	assert_int_equal(session_redeem(of_locked, &same, &rights), -EKEYREJECTED);
	session_release(session);

	session = session_create(some_uuid, secmem_alloc(KEYSLOT_VMK_BYTES));
	assert_int_equal(session_ticket(session, &want, of_gone), 0);
	session_release(session);
	assert_int_equal(session_redeem(of_gone, &same, &rights), -EKEYREJECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fifth_ticket_voids_the_first),
		cmocka_unit_test(tickets_die_with_their_session),
		cmocka_unit_test(locking_wipes),
		cmocka_unit_test(broken_wipe_is_noticed),
		cmocka_unit_test(end_of_the_lease_wipes),
		cmocka_unit_test(last_client_takes_the_keys_along),
	};

	/* as hsmd does: OpenSSL's copies are secret memory */
	if (secmem_adopt_openssl())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
