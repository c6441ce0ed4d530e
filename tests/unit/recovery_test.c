/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mkfs/recovery.h"

enum { TEXT = RECOVERY_TEXT_LEN + 1 };

static void make(char text[TEXT])
{
	assert_int_equal(recovery_make(text), 0);
	assert_int_equal(strlen(text), RECOVERY_TEXT_LEN);
}

static int parse(const char *typed, char out[TEXT])
{
	return recovery_parse(typed, strlen(typed), out);
}

static void test_reads_what_it_made(void **state)
{
	char text[TEXT], again[TEXT];

	(void)state;
	make(text);
	assert_int_equal(parse(text, again), 1);
	assert_string_equal(again, text);
}

static void test_two_keys_differ(void **state)
{
	char a[TEXT], b[TEXT];

	(void)state;
	make(a);
	make(b);
	assert_string_not_equal(a, b);
}

/* As people type it: capitals, blanks for dashes or none, a newline at the end. */
static void test_reads_other_spellings(void **state)
{
	char text[TEXT], again[TEXT], typed[2 * TEXT];
	size_t nr = 0;

	(void)state;
	make(text);
	for (size_t i = 0; text[i]; i++) {
		if (text[i] != '-') {
			typed[nr++] = (char)toupper((unsigned char)text[i]);
			if (i % 3 == 0)
				typed[nr++] = ' ';
		}
	}
	memcpy(typed + nr, "\r\n", 3);
	assert_int_equal(parse(typed, again), 1);
	assert_string_equal(again, text);
}

/* Every single wrong digit, and every two neighbours swapped, but for one in 65536. */
static void test_notices_slips(void **state)
{
	static const char digits[] = "cbdefghijklnrtuv";
	char text[TEXT], typed[TEXT], again[TEXT];
	int nr_missed = 0;

	(void)state;
	make(text);
	for (size_t i = 0; text[i]; i++) {
		for (size_t d = 0; d < 16 && text[i] != '-'; d++) {
			strcpy(typed, text);
			typed[i] = digits[d];
			if (typed[i] != text[i])
				nr_missed += parse(typed, again) != -EINVAL;
		}
		if (i && text[i - 1] != '-' && text[i] != '-' && text[i] != text[i - 1]) {
			strcpy(typed, text);
			typed[i] = text[i - 1];
			typed[i - 1] = text[i];
			nr_missed += parse(typed, again) != -EINVAL;
		}
	}
	assert_true(nr_missed <= 2);
}

/* Passphrases that only resemble one must stay passphrases. */
static void test_leaves_passphrases_alone(void **state)
{
	char text[TEXT], typed[TEXT + 2], again[TEXT];

	(void)state;
	make(text);
	assert_int_equal(parse("", again), 0);
	assert_int_equal(parse("correct horse battery staple", again), 0);
	assert_int_equal(recovery_parse(text, RECOVERY_TEXT_LEN - 1, again), 0);
	strcpy(typed, text);
	strcat(typed, "c");
	assert_int_equal(parse(typed, again), 0);
	strcpy(typed, text);
	typed[3] = 'a';
	assert_int_equal(parse(typed, again), 0);
	typed[3] = '\0';
	assert_int_equal(recovery_parse(typed, RECOVERY_TEXT_LEN, again), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_what_it_made),
		cmocka_unit_test(test_two_keys_differ),
		cmocka_unit_test(test_reads_other_spellings),
		cmocka_unit_test(test_notices_slips),
		cmocka_unit_test(test_leaves_passphrases_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
