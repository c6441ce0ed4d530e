/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/header_fixture.h"

/* --- what is stored is what is loaded -------------------------------------------- */

static void test_round_trip(void **state)
{
	struct header stored, loaded;

	(void)state;
	store_new(&stored);
	assert_int_equal(load(&loaded), 0);
	assert_int_equal(verify(&loaded), 0);
	assert_memory_equal(loaded.uuid, stored.uuid, sizeof(stored.uuid));
	assert_int_equal(loaded.sequence, 1);
	assert_int_equal(loaded.state, HEADER_CLEAN);
	assert_memory_equal(loaded.used, stored.used, sizeof(stored.used));
	assert_memory_equal(loaded.kinds, stored.kinds, sizeof(stored.kinds));
	assert_memory_equal(loaded.slots, stored.slots, sizeof(stored.slots));
	header_fini(&loaded);
	header_fini(&stored);
}

static void test_uuids_are_random_version_4(void **state)
{
	struct header a, b;
	char text[37];

	(void)state;
	assert_int_equal(header_init(&a), 0);
	assert_int_equal(header_init(&b), 0);
	assert_memory_not_equal(a.uuid, b.uuid, sizeof(a.uuid));
	header_uuid_text(a.uuid, text);
	assert_int_equal(strlen(text), 36);
	assert_int_equal(text[14], '4');
	assert_non_null(strchr("89ab", text[19]));
	header_fini(&a);
	header_fini(&b);
}

static void test_files_are_private(void **state)
{
	struct header header;
	struct stat st;

	(void)state;
	store_new(&header);
	assert_int_equal(fstatat(fixture.dirfd, ".hsmfs/header", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(fixture.dirfd, ".hsmfs/header.backup", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(fixture.dirfd, ".hsmfs/spare", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	header_fini(&header);
}

static void test_freed_slot_is_gone(void **state)
{
	struct header header;

	(void)state;
	store_new(&header);
	header.used[15] = false;
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	header_fini(&header);
	assert_int_equal(load(&header), 0);
	assert_true(header.used[0]);
	assert_false(header.used[15]);
	header_fini(&header);
}

static void test_freed_slot_is_not_in_the_spare_file(void **state)
{
	static const char zeros[HEADER_BYTES_MAX];
	char text[HEADER_BYTES_MAX];
	struct header header;

	(void)state;
	store_new(&header);
	header.used[15] = false;
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	header_fini(&header);
	assert_memory_equal(text, zeros, read_copy(".hsmfs/spare", text, sizeof(text)));
}

/* As long as headers are with many slots and PCRs. */
static void test_no_slot_of_a_long_header_is_in_the_spare_file(void **state)
{
	static const char zeros[HEADER_BYTES_MAX];
	static char text[HEADER_BYTES_MAX];
	struct header header;
	size_t len;

	(void)state;
	store_new(&header);
	for (unsigned nr = 0; nr < KEYSLOT_COUNT; nr++) {
		fill_slot(&header, nr, HEADER_PASSPHRASE);
		header.slots[nr].pcrs = (UINT32_C(1) << KEYSLOT_PCRS) - 1;
	}
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	len = read_copy(".hsmfs/header", text, sizeof(text));
	assert_true(len > 32768);
	header.used[15] = false;
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	header_fini(&header);
	assert_int_equal(read_copy(".hsmfs/spare", text, sizeof(text)), len);
	assert_memory_equal(text, zeros, len);
}

/* Three files change places, so that a full store has room for the next header. */
static void test_files_are_used_again(void **state)
{
	static const char *const names[] = {".hsmfs/header", ".hsmfs/header.backup",
					    ".hsmfs/spare"};
	struct header header;
	ino_t inos[3], sum = 0;
	struct stat st;

	(void)state;
	store_new(&header);
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fstatat(fixture.dirfd, names[i], &st, 0), 0);
		assert_true(st.st_blocks > 0);
		inos[i] = st.st_ino;
		sum += st.st_ino;
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fstatat(fixture.dirfd, names[i], &st, 0), 0);
		assert_true(st.st_ino == inos[0] || st.st_ino == inos[1] ||
			    st.st_ino == inos[2]);
		sum -= st.st_ino;
	}
	assert_int_equal(sum, 0);
	header_fini(&header);
}

/* Writing to the spare file must not write to the header. */
static void test_a_planted_spare_file_is_not_used(void **state)
{
	struct header header;
	struct stat st;

	(void)state;
	store_new(&header);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(unlinkat(fixture.dirfd, ".hsmfs/spare", 0), 0);
		if (i)
			assert_int_equal(linkat(fixture.dirfd, ".hsmfs/header.backup",
						fixture.dirfd, ".hsmfs/spare", 0),
					 0);
		else
			assert_int_equal(
				symlinkat("header.backup", fixture.dirfd, ".hsmfs/spare"),
				0);
		assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
		assert_int_equal(
			fstatat(fixture.dirfd, ".hsmfs/spare", &st, AT_SYMLINK_NOFOLLOW),
			0);
		assert_true(S_ISREG(st.st_mode));
		assert_int_equal(st.st_nlink, 1);
	}
	header_fini(&header);
	assert_int_equal(unlinkat(fixture.dirfd, ".hsmfs/header", 0), 0);
	assert_int_equal(load(&header), 0);
	assert_int_equal(header.sequence, 3);
	header_fini(&header);
}

/* --- two copies ------------------------------------------------------------------ */

static void test_no_volume(void **state)
{
	struct header header;

	(void)state;
	assert_int_equal(load(&header), -ENOENT);
	assert_int_equal(unlinkat(fixture.dirfd, ".hsmfs", AT_REMOVEDIR), 0);
	assert_int_equal(load(&header), -ENOENT);
	assert_int_equal(symlinkat("/tmp", fixture.dirfd, ".hsmfs"), 0);
	assert_int_equal(load(&header), -ENOENT);
}

static void test_either_copy_suffices(void **state)
{
	static const char *const names[] = {".hsmfs/header", ".hsmfs/header.backup"};
	struct header header;

	(void)state;
	for (int i = 0; i < 2; i++) {
		char text[HEADER_BYTES_MAX];
		size_t len;

		store_new(&header);
		header_fini(&header);
		len = read_copy(names[i], text, sizeof(text));
		for (size_t cut = 0; cut < len; cut += 97) {
			write_copy(names[i], text, cut);
			assert_int_equal(load(&header), 0);
			assert_int_equal(verify(&header), 0);
			header_fini(&header);
		}
		assert_int_equal(unlinkat(fixture.dirfd, names[i], 0), 0);
		assert_int_equal(load(&header), 0);
		header_fini(&header);
	}
}

static void test_both_damaged(void **state)
{
	struct header header;

	(void)state;
	store_new(&header);
	header_fini(&header);
	write_copy(".hsmfs/header", "{", 1);
	unlinkat(fixture.dirfd, ".hsmfs/header.backup", 0);
	assert_int_equal(load(&header), -EUCLEAN);
	assert_non_null(strstr(fixture.why, "damaged"));
}

/* A crash after the first rename: the copies differ, and the newer counts. */
static void test_crash_between_the_copies(void **state)
{
	char old[HEADER_BYTES_MAX];
	struct header header;
	size_t len;

	(void)state;
	store_new(&header);
	len = read_copy(".hsmfs/header.backup", old, sizeof(old));
	header.state = HEADER_MOUNTED;
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	header_fini(&header);
	write_copy(".hsmfs/header.backup", old, len);
	write_copy(".hsmfs/spare", old, len / 2);

	assert_int_equal(load(&header), 0);
	assert_int_equal(verify(&header), 0);
	assert_int_equal(header.sequence, 2);
	assert_int_equal(header.state, HEADER_MOUNTED);
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	header_fini(&header);
	assert_int_equal(unlinkat(fixture.dirfd, ".hsmfs/header", 0), 0);
	assert_int_equal(load(&header), 0);
	assert_int_equal(header.sequence, 3);
	header_fini(&header);
}

/* The HSM goes away: what is on disk stays as it was. */
static void test_failed_store_changes_nothing(void **state)
{
	struct header header;

	(void)state;
	store_new(&header);
	fake_error = -EPIPE;
	header.state = HEADER_MOUNTED;
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), -EPIPE);
	header_fini(&header);
	fake_error = 0;
	assert_int_equal(load(&header), 0);
	assert_int_equal(verify(&header), 0);
	assert_int_equal(header.state, HEADER_CLEAN);
	header_fini(&header);
}

/* No room while writing: the old header stays. */
static void test_full_disk_changes_nothing(void **state)
{
	struct rlimit old, limit;
	struct header header;

	(void)state;
	store_new(&header);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 100;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	header.state = HEADER_MOUNTED;
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	header_fini(&header);
	assert_int_equal(load(&header), 0);
	assert_int_equal(header.state, HEADER_CLEAN);
	header_fini(&header);
}

/* --- authentication -------------------------------------------------------------- */

static void test_tampering_is_noticed(void **state)
{
	struct header header;
	json_t *json;

	(void)state;
	json = new_json();
	json_object_set_new(inner_of(json), "state", json_string("mounted"));
	put_json(json);
	assert_int_equal(load(&header), 0);
	assert_int_equal(verify(&header), -EBADMSG);
	assert_non_null(strstr(fixture.why, "tampered"));
	header_fini(&header);
}

static void test_unknown_member_is_authenticated(void **state)
{
	struct header header;
	json_t *json;

	(void)state;
	json = new_json();
	json_object_set_new(slot_of(json), "note", json_true());
	put_json(json);
	assert_int_equal(load(&header), 0);
	assert_int_equal(verify(&header), -EBADMSG);
	header_fini(&header);
}

/* The copy with the higher sequence is forged: the other one is the volume's. */
static void test_forged_newer_copy(void **state)
{
	char good[HEADER_BYTES_MAX];
	struct header header;
	json_t *json;
	size_t len;

	(void)state;
	store_new(&header);
	header_fini(&header);
	len = read_copy(".hsmfs/header", good, sizeof(good));
	json = get_json();
	json_object_set_new(inner_of(json), "sequence", json_integer(999));
	put_json(json);
	write_copy(".hsmfs/header.backup", good, len);

	assert_int_equal(load(&header), 0);
	assert_int_equal(header.sequence, 999);
	assert_int_equal(verify(&header), 0);
	assert_int_equal(header.sequence, 1);
	header_fini(&header);
}

static void test_other_volumes_key(void **state)
{
	struct header header;

	(void)state;
	store_new(&header);
	fake_key = 0x77;
	assert_int_equal(verify(&header), -EBADMSG);
	fake_error = -EPIPE;
	assert_int_equal(verify(&header), -EPIPE);
	header_fini(&header);
}

/* --- other versions -------------------------------------------------------------- */

static void test_later_format(void **state)
{
	struct header header;
	char good[HEADER_BYTES_MAX];
	size_t len;

	(void)state;
	store_new(&header);
	header_fini(&header);
	len = read_copy(".hsmfs/header", good, sizeof(good));
	write_both(
		"{\"hsmfs\":{\"format\":2,\"anything\":[]},\"mac\":"
		"\"0000000000000000000000000000000000000000000000000000000000000000\"}");
	assert_int_equal(load(&header), -ENOTSUP);
	assert_non_null(strstr(fixture.why, "newer"));
	/* An old copy beside it must not be mounted in its place. */
	write_copy(".hsmfs/header.backup", good, len);
	assert_int_equal(load(&header), -ENOTSUP);
}

static void test_features(void **state)
{
	struct header header;
	json_t *json;

	(void)state;
	json = new_json();
	json_object_set_new(inner_of(json), "features",
			    json_pack("{s:[],s:[s]}", "incompatible", "compatible", "x"));
	put_json(json);
	assert_int_equal(load(&header), 0);
	header_fini(&header);

	json = get_json();
	json_object_set_new(
		inner_of(json), "features",
		json_pack("{s:[s],s:[]}", "incompatible", "\x1b[2Jevil", "compatible"));
	put_json(json);
	assert_int_equal(load(&header), -ENOTSUP);
	assert_non_null(strstr(fixture.why, "evil"));
	assert_null(strchr(fixture.why, '\x1b'));
}

static void test_unknown_members_survive(void **state)
{
	struct header header;
	json_t *json;

	(void)state;
	json = new_json();
	json_object_set_new(inner_of(json), "later", json_pack("{s:[f,n]}", "a", 0.1));
	json_object_set_new(slot_of(json), "label", json_string("laptop"));
	json_array_append_new(json_object_get(json_object_get(inner_of(json), "features"),
					      "compatible"),
			      json_string("new"));
	put_json(json);
	assert_int_equal(load(&header), 0);
	header.state = HEADER_UNSETTLED;
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	header_fini(&header);

	assert_int_equal(load(&header), 0);
	assert_int_equal(verify(&header), 0);
	assert_int_equal(header.state, HEADER_UNSETTLED);
	header_fini(&header);
	json = get_json();
	assert_true(json_is_array(
		json_object_get(json_object_get(inner_of(json), "later"), "a")));
	assert_string_equal(json_string_value(json_object_get(slot_of(json), "label")),
			    "laptop");
	assert_int_equal(
		json_array_size(json_object_get(
			json_object_get(inner_of(json), "features"), "compatible")),
		1);
	json_decref(json);
}

/* A slot of a later kind is neither used nor lost. */
static void test_foreign_slot(void **state)
{
	struct header header;
	json_t *json;

	(void)state;
	json = new_json();
	json_object_set_new(json_object_get(inner_of(json), "slots"), "7",
			    json_pack("{s:s,s:{s:s},s:{s:s,s:s}}", "kind", "share", "kdf",
				      "type", "balloon", "token", "type", "pkcs11", "uri",
				      "pkcs11:x"));
	put_json(json);
	assert_int_equal(load(&header), 0);
	assert_true(header.used[7]);
	assert_int_equal(header.kinds[7], HEADER_FOREIGN);
	assert_int_equal(header_store(fixture.dirfd, &header, NULL), 0);
	header_fini(&header);
	json = get_json();
	assert_non_null(json_object_get(
		json_object_get(
			json_object_get(json_object_get(inner_of(json), "slots"), "7"),
			"token"),
		"uri"));
	json_decref(json);
}

/* --- the lock -------------------------------------------------------------------- */

static void test_lock(void **state)
{
	int first, second;

	(void)state;
	first = header_lock(fixture.dirfd);
	assert_true(first >= 0);
	assert_int_equal(header_lock(fixture.dirfd), -EBUSY);
	close(first);
	second = header_lock(fixture.dirfd);
	assert_true(second >= 0);
	assert_int_equal(header_lock_shared(fixture.dirfd), -EBUSY);
	close(second);
	first = header_lock_shared(fixture.dirfd);
	second = header_lock_shared(fixture.dirfd);
	assert_true(first >= 0 && second >= 0);
	assert_int_equal(header_lock(fixture.dirfd), -EBUSY);
	close(first);
	assert_int_equal(header_lock(fixture.dirfd), -EBUSY);
	close(second);
	unlinkat(fixture.dirfd, ".hsmfs/lock", 0);
	unlinkat(fixture.dirfd, ".hsmfs", AT_REMOVEDIR);
	assert_int_equal(header_lock(fixture.dirfd), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_uuids_are_random_version_4),
		TEST(test_files_are_private),
		TEST(test_freed_slot_is_gone),
		TEST(test_no_volume),
		TEST(test_either_copy_suffices),
		TEST(test_both_damaged),
		TEST(test_crash_between_the_copies),
		TEST(test_failed_store_changes_nothing),
		TEST(test_full_disk_changes_nothing),
		TEST(test_freed_slot_is_not_in_the_spare_file),
		TEST(test_no_slot_of_a_long_header_is_in_the_spare_file),
		TEST(test_files_are_used_again),
		TEST(test_a_planted_spare_file_is_not_used),
		TEST(test_tampering_is_noticed),
		TEST(test_unknown_member_is_authenticated),
		TEST(test_forged_newer_copy),
		TEST(test_other_volumes_key),
		TEST(test_later_format),
		TEST(test_features),
		TEST(test_unknown_members_survive),
		TEST(test_foreign_slot),
		TEST(test_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
