/* SPDX-License-Identifier: Apache-2.0 */
/* What hsmd --benchmark prints of an engine that this processor cannot run, or that lies.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "hsm/benchmark.h"
#include "hsm/crypto/aead.h"

int __real_aead_self_test(const struct aead_engine *engine);
int __wrap_aead_self_test(const struct aead_engine *engine);

static int openssl_result;

int __wrap_aead_self_test(const struct aead_engine *engine)
{
	return strcmp(engine->name, "openssl") ? __real_aead_self_test(engine)
					       : openssl_result;
}

/* benchmark_run() with its output in @text; its exit code. */
static int run(char *text, size_t len)
{
	FILE *file = tmpfile();
	int code, saved = dup(STDOUT_FILENO);

	assert_non_null(file);
	assert_true(saved >= 0);
	fflush(stdout);
	assert_int_equal(dup2(fileno(file), STDOUT_FILENO), STDOUT_FILENO);
	code = benchmark_run();
	fflush(stdout);
	assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
	close(saved);
	rewind(file);
	text[fread(text, 1, len - 1, file)] = '\0';
	fclose(file);
	return code;
}

static void test_unavailable(void **state)
{
	char text[8192];
	json_t *figures, *engines;
	bool found = false;

	(void)state;
	openssl_result = -ENOTSUP;
	assert_int_equal(run(text, sizeof(text)), 0);
	figures = json_loads(text, 0, NULL);
	engines = json_object_get(figures, "engines");
	for (size_t i = 0; i < json_array_size(engines); i++) {
		json_t *engine = json_array_get(engines, i);

		if (strcmp(json_string_value(json_object_get(engine, "engine")),
			   "openssl"))
			continue;
		found = true;
		assert_true(json_is_false(json_object_get(engine, "available")));
		assert_int_equal(json_array_size(json_object_get(engine, "extents")), 0);
	}
	assert_true(found);
	json_decref(figures);
}

static void test_wrong_answers(void **state)
{
	char text[8192];

	(void)state;
	openssl_result = -EIO;
	assert_int_equal(run(text, sizeof(text)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unavailable),
		cmocka_unit_test(test_wrong_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
