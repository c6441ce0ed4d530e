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

static void print_string(const struct field *field, const char *value)
{
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "%s", value);
	say_clean(text);
	printf("  %-18s %s\n", field->label, text);
}

static void print_field(const struct field *field, const json_t *value)
{
	if (json_is_string(value))
		print_string(field, json_string_value(value));
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
	if (json_dumpf(reply, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) < 0)
		return say_error(EXIT_MEMORY, "Out of memory.");
	putchar('\n');
	return 0;
}

static int say_inactive(const char *mountpoint, bool as_json)
{
	json_t *reply = as_json ? json_pack("{s:s}", "state", "inactive") : NULL;
	int code = 0;

	if (as_json)
		code = print_json(reply);
	else
		printf("%s is inactive.\n", mountpoint);
	json_decref(reply);
	return code ? code : EXIT_PATH;
}

int cmd_status(char *const args[], const struct options *options)
{
	bool as_json = options->given & OPTION_JSON;
	char path[PATH_MAX];
	json_t *reply;
	int code, rc = control_find(args[0], path);

	if (rc == -ENOENT)
		return say_inactive(args[0], as_json);
	code = rc < 0 ? control_require(args[0], path) : 0;
	if (code == 0)
		code = control_call(path, control_request("status"), CONTROL_QUICK_MS,
				    &reply);
	if (code)
		return code;
	json_object_del(reply, "status");
	if (as_json)
		code = print_json(reply);
	else
		print_text(path, reply);
	json_decref(reply);
	return code;
}
