/* SPDX-License-Identifier: Apache-2.0 */
/* status: what hsmfs and the HSM say of a mounted volume. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "mkfs/cmd.h"
#include "mkfs/control.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

struct field {
	const char *key;
	const char *label;
	const char *unit;
};

static const struct field fields[] = {
	{"uuid", "uuid", ""},
	{"directory", "directory", ""},
	{"engine", "cipher engine", ""},
	{"token", "token", ""},
	{"memory", "key memory", ""},
	{"lease_left_s", "lease left", " s"},
	{"idle_left_s", "idle lease left", " s"},
	{"limit_bytes", "read limit", " bytes"},
	{"limit_s", "in every", " s"},
	{"limit_left", "still to be read", " bytes"},
	{"limit_resets_s", "more in", " s"},
	{"over_limit", "refused for it", ""},
	{"handle_lifetime_ms", "handle lifetime", " ms"},
	{"generation", "handle generation", ""},
	{"pages_sealed", "pages sealed", ""},
	{"pages_opened", "pages opened", ""},
	{"workers", "workers", ""},
	{"hsmfs_pid", "hsmfs process", ""},
	{"hsmd_pid", "hsmd process", ""},
};

static void print_field(const struct field *field, const json_t *value)
{
	if (json_is_string(value))
		printf("  %-18s %s\n", field->label, json_string_value(value));
	else if (json_is_integer(value))
		printf("  %-18s %lld%s\n", field->label,
		       (long long)json_integer_value(value), field->unit);
	else if (json_is_null(value))
		printf("  %-18s no limit\n", field->label);
}

static void print_text(const char *path, const json_t *reply)
{
	const char *state = json_string_value(json_object_get(reply, "state"));
	bool suspended = state && strcmp(state, "suspended") == 0;

	printf("%s is active%s.\n", path, suspended ? " and suspended" : "");
	printf("  %-18s %s\n", "mode",
	       json_is_true(json_object_get(reply, "read_only")) ? "readonly"
								 : "read/write");
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		print_field(&fields[i], json_object_get(reply, fields[i].key));
}

static int print_json(const json_t *reply)
{
	if (json_dumpf(reply, stdout, JSON_INDENT(2)) < 0)
		return say_error(EXIT_MEMORY, "Out of memory.");
	putchar('\n');
	return 0;
}

int cmd_status(char *const args[], const struct options *options)
{
	char path[PATH_MAX];
	json_t *reply;
	int code, rc = control_find(args[0], path);

	if (rc == -ENOENT) {
		printf("%s is inactive.\n", args[0]);
		return EXIT_PATH;
	}
	code = rc < 0 ? control_require(args[0], path) : 0;
	if (code == 0)
		code = control_call(path, control_request("status"), CONTROL_QUICK_MS,
				    &reply);
	if (code)
		return code;
	json_object_del(reply, "status");
	if (options->given & OPTION_JSON)
		code = print_json(reply);
	else
		print_text(path, reply);
	json_decref(reply);
	return code;
}
