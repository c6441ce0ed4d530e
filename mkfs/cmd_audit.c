/* SPDX-License-Identifier: Apache-2.0 */
/* audit: shows or verifies hsmd's audit log (hsm/PROTOCOL.md says what is in it). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "fs/volume/hex.h"
#include "hsm/api/runtime.h"
#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

enum { DIGEST_BYTES = 32, DIGEST_TEXT = 2 * DIGEST_BYTES + 1 };

/* Where the chain is. */
struct chain {
	unsigned long line;
	char last[DIGEST_TEXT]; /* digest of the line before */
	bool torn;		/* that line was cut off */
	unsigned long nr_torn, nr_lost;
};

static int digest_line(const char *line, size_t len, char text[DIGEST_TEXT])
{
	uint8_t digest[DIGEST_BYTES];

	if (EVP_Digest(line, len, digest, NULL, EVP_sha256(), NULL) != 1)
		return say_error(EXIT_INVALID, "Cannot compute SHA-256.");
	hex_encode(digest, sizeof(digest), text);
	return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* Line without its newline. 0 or an exit code, having said what is wrong. */
static int check_line(struct chain *chain, const char *line, size_t len)
{
	json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	bool says_torn = object && strcmp(text_of(object, "event"), "torn") == 0;
	int code = 0;

	chain->line++;
	/* A line that was cut off says nothing; the one behind it says so. */
	if (chain->torn && !says_torn)
		code = say_error(EXIT_INVALID, "Line %lu of the audit log is damaged.",
				 chain->line - 1);
	else if (object && strcmp(text_of(object, "prev"), chain->last) != 0)
		code = say_error(EXIT_INVALID,
				 "The audit log was changed: line %lu does not follow "
				 "the line before.",
				 chain->line);
	chain->torn = !object;
	chain->nr_torn += !object;
	chain->nr_lost +=
		(unsigned long)json_integer_value(json_object_get(object, "lost"));
	json_decref(object);
	return code ? code : digest_line(line, len, chain->last);
}

static int show_line(struct chain *chain, const char *line, size_t len)
{
	static const char *const skipped[] = {"time", "event", "result", "prev"};
	json_t *object = json_loadb(line, len, 0, NULL);
	const char *key;
	json_t *value;

	chain->line++;
	if (!object) {
		printf("%-24s  (line %lu cannot be read)\n", "", chain->line);
		return 0;
	}
	printf("%-24s  %-16s %s", text_of(object, "time"), text_of(object, "event"),
	       text_of(object, "result"));
	json_object_foreach(object, key, value)
	{
		bool skip = false;

		for (size_t i = 0; i < sizeof(skipped) / sizeof(*skipped); i++)
			skip |= strcmp(key, skipped[i]) == 0;
		if (!skip && json_is_string(value))
			printf(" %s=%s", key, json_string_value(value));
		else if (!skip && json_is_integer(value))
			printf(" %s=%lld", key, (long long)json_integer_value(value));
	}
	putchar('\n');
	json_decref(object);
	return 0;
}

static int each_line(FILE *file, struct chain *chain,
		     int (*visit)(struct chain *chain, const char *line, size_t len))
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int code = 0;

	while (code == 0 && (n = getline(&line, &room, file)) > 0)
		code = visit(chain, line, (size_t)n - (line[n - 1] == '\n'));
	if (code == 0 && ferror(file))
		code = say_error(EXIT_INVALID, "Cannot read the audit log: %s.",
				 strerror(errno));
	free(line);
	return code;
}

static int open_log(FILE **file)
{
	char path[PATH_MAX];
	size_t len;
	int rc = runtime_state_dir(path, sizeof(path) - sizeof("/audit.jsonl"));

	if (rc < 0)
		return say_error(say_code(rc),
				 "Cannot use the HSM's state directory: %s.",
				 strerror(-rc));
	len = strlen(path);
	snprintf(path + len, sizeof(path) - len, "/audit.jsonl");
	*file = fopen(path, "re");
	if (!*file)
		return say_error(say_code(-errno), "Cannot open the audit log %s: %s.",
				 path, strerror(errno));
	return 0;
}

static int verify(FILE *file)
{
	struct chain chain = {0};
	int code;

	memset(chain.last, '0', sizeof(chain.last) - 1);
	code = each_line(file, &chain, check_line);
	if (code)
		return code;
	printf("%lu lines, each of which follows the one before.\n", chain.line);
	if (chain.nr_torn)
		printf("%lu of them cut off by a crash%s.\n", chain.nr_torn,
		       chain.torn ? ", the last one too" : "");
	if (chain.nr_lost)
		printf("%lu events could not be written; syslog has them.\n",
		       chain.nr_lost);
	if (chain.line)
		printf("The log ends with %s.\n", chain.last);
	return 0;
}

int cmd_audit(char *const args[], const struct options *options)
{
	bool is_verify = strcmp(args[0], "verify") == 0;
	struct chain chain = {0};
	FILE *file;
	int code;

	(void)options;
	if (!is_verify && strcmp(args[0], "show") != 0)
		return say_error(EXIT_INVALID, "Usage: hsmsetup audit verify|show");
	code = open_log(&file);
	if (code)
		return code;
	code = is_verify ? verify(file) : each_line(file, &chain, show_line);
	fclose(file);
	return code;
}
