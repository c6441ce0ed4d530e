/* SPDX-License-Identifier: Apache-2.0 */
/* Headers that somebody who can write to the volume's directory might make. */
#include "tests/unit/header_fixture.h"

/* --- hostile content ------------------------------------------------------------- */

static void test_not_json(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"null",
		"{}",
		"{\"hsmfs\":{}}",
		"{\"hsmfs\":[],\"mac\":\"\"}",
		"{\"hsmfs\":{\"format\":1},\"mac\":\"00\"}",
		"\xff\xfe",
		"{\"a\":1,\"a\":2}",
	};
	struct header header;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		write_both(texts[i]);
		assert_int_equal(load(&header), -EUCLEAN);
	}
}

static void test_deep_nesting(void **state)
{
	struct header header;
	char *text = malloc(HEADER_BYTES_MAX + 1);

	(void)state;
	memset(text, '[', HEADER_BYTES_MAX);
	text[HEADER_BYTES_MAX] = '\0';
	write_both(text);
	assert_int_equal(load(&header), -EUCLEAN);
	free(text);
}

static void test_too_large(void **state)
{
	struct header header;
	json_t *json;
	char *text, *padded;

	(void)state;
	json = new_json();
	text = json_dumps(json, 0);
	json_decref(json);
	padded = malloc(HEADER_BYTES_MAX + 2);
	memset(padded, ' ', HEADER_BYTES_MAX + 1);
	memcpy(padded, text, strlen(text));
	padded[HEADER_BYTES_MAX] = '\0';
	write_both(padded);
	assert_int_equal(load(&header), 0);
	header_fini(&header);
	padded[HEADER_BYTES_MAX] = ' ';
	padded[HEADER_BYTES_MAX + 1] = '\0';
	write_both(padded);
	assert_int_equal(load(&header), -EUCLEAN);
	free(padded);
	free(text);
}

static void test_duplicate_key(void **state)
{
	struct header header;
	json_t *json;
	char *text, *twice;

	(void)state;
	json = new_json();
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	twice = malloc(strlen(text) + 64);
	sprintf(twice, "{\"hsmfs\":{\"state\":\"mounted\",%s",
		text + strlen("{\"hsmfs\":{"));
	write_both(twice);
	assert_int_equal(load(&header), -EUCLEAN);
	free(twice);
	free(text);
}

static void test_member_outside_the_mac(void **state)
{
	json_t *json;

	(void)state;
	json = new_json();
	expect_refused(json, json, "beside", json_true());
}

static void test_wrong_types_and_ranges(void **state)
{
	struct header header;
	json_t *json;

	(void)state;
	store_new(&header);
	header_fini(&header);
	for (int i = 0; i < 10; i++) {
		static const struct {
			const char *key, *value;
		} cases[] = {
			{"sequence", "-1"},
			{"sequence", "9007199254740992"},
			{"sequence", "1.5"},
			{"sequence", "\"1\""},
			{"state", "\"dirty\""},
			{"state", "0"},
			{"uuid", "\"not-a-uuid\""},
			{"uuid", "\"00000000000000000000000000000000----\""},
			{"features", "{\"incompatible\":{},\"compatible\":[]}"},
			{"format", "0"},
		};

		json = new_json();
		expect_refused(json, inner_of(json), cases[i].key,
			       json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
	}
}

static void test_slot_wrong_types_and_ranges(void **state)
{
	static const struct {
		const char *in, *key, *value;
	} cases[] = {
		{"kdf", "time", "0"},
		{"kdf", "time", "1001"},
		{"kdf", "time", "4294967299"},
		{"kdf", "memory_kib", "31"},
		{"kdf", "lanes", "0"},
		{"kdf", "lanes", "17"},
		{"kdf", "salt", "\"AAAA\""},
		{"kdf", "memory_kib", "4194305"},
		{"token", "name", "\"00\""},
		{"token", "public", "\"\""},
		{"token", "public", "7"},
		{"token", "private", "\"!!!!\""},
		{"kdf", "type", "null"},
		{"token", "pcrs_sha256", "{}"},
		{"token", "pcrs_sha256", "7"},
		{"token", "pcrs_sha256", "{\"7\":\"00\"}"},
		{"token", "pcrs_sha256", "{\"24\":\"00\"}"},
		{"token", "pcrs_sha256", "{\"7\":7}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *json;

		json = new_json();
		expect_refused(json, json_object_get(slot_of(json), cases[i].in),
			       cases[i].key,
			       json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		assert_non_null(strstr(fixture.why, "key slot 0"));
	}
}

static void test_kdf_needs_memory_for_its_lanes(void **state)
{
	json_t *json;

	(void)state;
	json = new_json();
	json_object_set_new(json_object_get(slot_of(json), "kdf"), "lanes",
			    json_integer(5));
	expect_refused(json, json_object_get(slot_of(json), "kdf"), "memory_kib",
		       json_integer(39));
}

static void test_kdf_that_would_take_hours(void **state)
{
	json_t *json;

	(void)state;
	json = new_json();
	json_object_set_new(json_object_get(slot_of(json), "kdf"), "time",
			    json_integer(KEYSLOT_KDF_MAX_TIME));
	expect_refused(json, json_object_get(slot_of(json), "kdf"), "memory_kib",
		       json_integer(KEYSLOT_KDF_MAX_KIB));
}

static void test_oversized_blob(void **state)
{
	char text[4 * (KEYSLOT_TPM_BLOB_MAX + 3) / 3 + 1];
	struct header header;
	json_t *json;

	(void)state;
	store_new(&header);
	header_fini(&header);
	memset(text, 'A', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	json = get_json();
	expect_refused(json, json_object_get(slot_of(json), "token"), "public",
		       json_string(text));
}

static void test_slot_numbers(void **state)
{
	static const char *const keys[] = {"16", "-1", "00", "01", "1 ", "x", ""};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		json_t *json;

		json = new_json();
		expect_refused(json, json_object_get(inner_of(json), "slots"), keys[i],
			       json_deep_copy(slot_of(json)));
	}
}

/* A planted FIFO must not hang whoever looks, nor a symlink lead elsewhere. */
static void test_special_files(void **state)
{
	struct header header;

	(void)state;
	store_new(&header);
	header_fini(&header);
	assert_int_equal(unlinkat(fixture.dirfd, ".hsmfs/header", 0), 0);
	assert_int_equal(mkfifoat(fixture.dirfd, ".hsmfs/header", 0600), 0);
	assert_int_equal(load(&header), 0);
	header_fini(&header);
	assert_int_equal(renameat(fixture.dirfd, ".hsmfs/header.backup", fixture.dirfd,
				  ".hsmfs/lock"),
			 0);
	assert_int_equal(symlinkat("lock", fixture.dirfd, ".hsmfs/header.backup"), 0);
	assert_int_equal(load(&header), -EUCLEAN);
	/* Storing replaces them and writes through neither. */
	store_new(&header);
	header_fini(&header);
	assert_int_equal(load(&header), 0);
	assert_int_equal(verify(&header), 0);
	header_fini(&header);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_not_json),
		TEST(test_deep_nesting),
		TEST(test_too_large),
		TEST(test_duplicate_key),
		TEST(test_member_outside_the_mac),
		TEST(test_wrong_types_and_ranges),
		TEST(test_slot_wrong_types_and_ranges),
		TEST(test_kdf_needs_memory_for_its_lanes),
		TEST(test_kdf_that_would_take_hours),
		TEST(test_oversized_blob),
		TEST(test_slot_numbers),
		TEST(test_special_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
