/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/volume/name.h"

static void fill(uint8_t *buf, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		buf[i] = (uint8_t)(seed >> 16);
	}
}

static void base64_is_inverse_for_every_length(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 600; len++) {
		uint8_t *in = malloc(len + 1), *out = malloc(len + 1);
		/* Exactly the room the contract asks for: a sanitizer sees one byte more.
		 */
		char *text = malloc(4 * len / 3 + 2);

		fill(in, len, (unsigned)len);
		name_base64_encode(in, len, text);
		assert_int_equal(strlen(text), (4 * len + 2) / 3);
		assert_null(strpbrk(text, "+/="));
		assert_int_equal(name_base64_decode(text, out, len), (int)len);
		assert_memory_equal(in, out, len);
		if (len)
			assert_int_equal(name_base64_decode(text, out, len - 1), -EINVAL);
		free(in);
		free(out);
		free(text);
	}
}

static void base64_known_answers(void **state)
{
	static const uint8_t high[] = {0xfb, 0xff, 0xfe};
	char text[8];

	(void)state;
	name_base64_encode((const uint8_t *)"foobar", 4, text);
	assert_string_equal(text, "Zm9vYg");
	name_base64_encode(high, 3, text);
	assert_string_equal(text, "-__-");
}

static void base64_refuses_what_it_does_not_write(void **state)
{
	static const char *const bad[] = {
		"A",	 /* no byte in it */
		"Zm9vY", /* the same behind a whole group */
		"Zh",	 /* unused bits set: "Zg" is the one form */
		"Zm9vYh", "Zm8=", "Zm9v\n",	  " Zm9v", "Zm9+",  "Zm9/",	"Zm=v",
		"====",	  "=",	  "Zm9v\xc3\xa9", "Zm 9",  "Zm9v-", "\t\t\t\t",
	};
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(name_base64_decode(bad[i], out, sizeof(out)), -EINVAL);
}

static void every_last_character_but_the_canonical_is_refused(void **state)
{
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789-_";
	uint8_t out[32];
	char text[24] = "AAAAAAAAAAAAAAAAAAAAAA"; /* 22: 16 bytes and 4 unused bits */
	int good = 0;

	(void)state;
	for (size_t i = 0; i < 64; i++) {
		text[21] = all[i];
		good += name_base64_decode(text, out, sizeof(out)) == 16;
	}
	assert_int_equal(good, 4);
}

static void names_survive_at_every_length(void **state)
{
	uint8_t sealed[NAME_SEALED_MAX], back[NAME_SEALED_MAX];
	struct name_backing name;

	(void)state;
	for (size_t len = 17; len <= NAME_SEALED_MAX; len++) {
		bool is_long = len > 191; /* 175 plain bytes are the last short name */

		fill(sealed, len, (unsigned)len);
		assert_int_equal(name_encode(sealed, len, &name), 0);
		assert_true(strlen(name.entry) <= NAME_PLAIN_MAX);
		assert_int_equal(name_classify(name.entry),
				 is_long ? NAME_LONG : NAME_SHORT);
		assert_int_equal(*name.side != 0, is_long);
		assert_int_equal(*name.full != 0, is_long);
		assert_int_equal(
			name_decode(name.entry, is_long ? name.full : NULL, back),
			(int)len);
		assert_memory_equal(sealed, back, len);
		if (is_long) {
			char side[64];

			assert_int_equal(name_side(name.entry, side), 0);
			assert_string_equal(side, name.side);
			assert_int_equal(name_classify(side), NAME_OURS);
			assert_true(name_is_side(side));
		}
	}
}

static void the_border_is_between_175_and_176_plain_bytes(void **state)
{
	uint8_t sealed[NAME_SEALED_MAX] = {0};
	struct name_backing name;

	(void)state;
	assert_int_equal(name_encode(sealed, 175 + 16, &name), 0);
	assert_int_equal(strlen(name.entry), 255);
	assert_int_equal(name_encode(sealed, 176 + 16, &name), 0);
	assert_int_equal(strlen(name.full), 256);
	assert_memory_equal(name.entry, ".long.", 6);
	assert_int_equal(strlen(name.entry), 49);
}

static void lengths_no_seal_can_have_are_refused(void **state)
{
	uint8_t sealed[NAME_SEALED_MAX + 1] = {0};
	struct name_backing name;

	(void)state;
	assert_int_equal(name_encode(sealed, 0, &name), -EINVAL);
	assert_int_equal(name_encode(sealed, 16, &name), -EINVAL);
	assert_int_equal(name_encode(sealed, NAME_SEALED_MAX + 1, &name), -EINVAL);
}

static void classes_of_entries(void **state)
{
#define HASH43 "0123456789012345678901234567890123456789-_A"
	static const struct {
		const char *entry;
		enum name_kind kind;
	} cases[] = {
		{".", NAME_ALIEN},
		{"..", NAME_ALIEN},
		{"", NAME_ALIEN},
		{".hsmfs", NAME_OURS},
		{".hsmfs.id", NAME_OURS},
		{".hsmfs.id2", NAME_ALIEN},
		{".long." HASH43, NAME_LONG},
		{".name." HASH43, NAME_OURS},
		{".long." HASH43 "A", NAME_ALIEN},
		{".long.", NAME_ALIEN},
		{".name.x", NAME_ALIEN},
		{".long.0123456789012345678901234567890123456789-_=", NAME_ALIEN},
		{".Long." HASH43, NAME_ALIEN},
		{"AAAAAAAAAAAAAAAAAAAAAA", NAME_ALIEN},	   /* 22: one byte too short */
		{"AAAAAAAAAAAAAAAAAAAAAAA", NAME_SHORT},   /* 23 */
		{"AAAAAAAAAAAAAAAAAAAAAAAAA", NAME_ALIEN}, /* 25: no base64 is so long */
		{"AAAAAAAAAAAAAAAAAAAAAA.", NAME_ALIEN},
		{"AAAAAAAAAAAAAAAAAAAAAA~", NAME_ALIEN},
		{"lost+found", NAME_ALIEN},
		{".nfs000000000000000000000001", NAME_ALIEN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(name_classify(cases[i].entry), cases[i].kind);
}

static void hostile_side_entries_are_refused(void **state)
{
	uint8_t sealed[NAME_SEALED_MAX], back[NAME_SEALED_MAX];
	struct name_backing one, two, small;
	char text[1024];

	(void)state;
	fill(sealed, sizeof(sealed), 1);
	name_encode(sealed, sizeof(sealed), &one);
	name_encode(sealed, 100, &small);
	fill(sealed, sizeof(sealed), 2);
	name_encode(sealed, sizeof(sealed), &two);
	assert_int_equal(name_decode(one.entry, NULL, back), -EINVAL);
	assert_int_equal(name_decode(one.entry, "", back), -EINVAL);
	assert_int_equal(name_decode(one.entry, two.full, back), -EINVAL);
	assert_int_equal(name_decode(one.entry, small.entry, back), -EINVAL);
	memset(text, 'A', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(name_decode(one.entry, text, back), -EINVAL);
	snprintf(text, sizeof(text), "%sA", one.full);
	assert_int_equal(name_decode(one.entry, text, back), -EINVAL);
	snprintf(text, sizeof(text), "%.*s", (int)strlen(one.full) - 4, one.full);
	assert_int_equal(name_decode(one.entry, text, back), -EINVAL);
	assert_int_equal(name_decode(one.side, one.full, back), -EINVAL);
	assert_int_equal(name_decode(NAME_DIR_ID, one.full, back), -EINVAL);
	assert_true(name_decode(one.entry, one.full, back) > 0);
}

static void a_short_name_does_not_also_have_a_long_form(void **state)
{
	uint8_t sealed[192], back[NAME_SEALED_MAX];
	struct name_backing name;
	char entry[64];

	(void)state;
	/* ".long." and the right hash of a sealed name that fits into an entry. */
	fill(sealed, sizeof(sealed), 3);
	assert_int_equal(name_encode(sealed, 192, &name), 0);
	memcpy(entry, name.entry, sizeof(entry));
	assert_int_equal(name_decode(entry, name.full, back), 192);
	name.full[255] = '\0';
	assert_int_equal(name_decode(entry, name.full, back), -EINVAL);
}

static void side_is_only_for_long_entries(void **state)
{
	char side[64];

	(void)state;
	assert_int_equal(name_side("AAAAAAAAAAAAAAAAAAAAAAA", side), -EINVAL);
	assert_int_equal(name_side(".long.", side), -EINVAL);
	assert_int_equal(name_side(".name." HASH43, side), -EINVAL);
}

static void blob_lengths(void **state)
{
	(void)state;
	for (size_t n = 1; n <= NAME_TARGET_MAX; n++) {
		size_t text = (4 * (n + NAME_BLOB_OVERHEAD) + 2) / 3;

		assert_true(text <= 4095);
		assert_int_equal(name_blob_plain_len(text), n);
	}
	assert_true((4 * (NAME_TARGET_MAX + 1 + NAME_BLOB_OVERHEAD) + 2) / 3 > 4095);
	assert_int_equal(NAME_TARGET_MAX, 3039);
	assert_int_equal(name_blob_plain_len(0), 0);
	assert_int_equal(name_blob_plain_len(42), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_is_inverse_for_every_length),
		cmocka_unit_test(base64_known_answers),
		cmocka_unit_test(base64_refuses_what_it_does_not_write),
		cmocka_unit_test(every_last_character_but_the_canonical_is_refused),
		cmocka_unit_test(names_survive_at_every_length),
		cmocka_unit_test(the_border_is_between_175_and_176_plain_bytes),
		cmocka_unit_test(lengths_no_seal_can_have_are_refused),
		cmocka_unit_test(classes_of_entries),
		cmocka_unit_test(hostile_side_entries_are_refused),
		cmocka_unit_test(a_short_name_does_not_also_have_a_long_form),
		cmocka_unit_test(side_is_only_for_long_entries),
		cmocka_unit_test(blob_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
