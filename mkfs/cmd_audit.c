/* SPDX-License-Identifier: Apache-2.0 */
/* audit: shows or verifies hsmd's audit log (hsm/PROTOCOL.md says what is in it). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "fs/volume/hex.h"
#include "hsm/api/auditlog.h"
#include "hsm/api/runtime.h"
#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

enum { DIGEST_BYTES = 32, DIGEST_TEXT = 2 * DIGEST_BYTES + 1 };

/* Where the chain is. */
struct chain {
	char file[AUDITLOG_NAME_BYTES];
	unsigned long line;	/* in that file */
	bool is_cut;		/* what was before the first line is not kept any more */
	char last[DIGEST_TEXT]; /* digest of the line before */
	bool torn;		/* that line was cut off */
	unsigned long nr_lines, nr_torn, nr_lost;
};

/* The log as it was found: files from the oldest to the current one. */
struct log {
	int dir;
	FILE *current;
	unsigned first, last; /* of those put aside; 0: there are none */
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
	bool is_start = chain->is_cut && object &&
			strcmp(text_of(object, "event"), "rotated") == 0;
	int code = 0;

	chain->line++;
	chain->nr_lines++;
	/* A line that was cut off says nothing; the one behind it says so. */
	if (chain->torn && !says_torn)
		code = say_error(EXIT_INVALID,
				 "The line before line %lu of %s is damaged.",
				 chain->line, chain->file);
	else if (object && !is_start && strcmp(text_of(object, "prev"), chain->last) != 0)
		code = say_error(EXIT_INVALID,
				 "The audit log was changed: line %lu of %s does not "
				 "follow the line before.",
				 chain->line, chain->file);
	chain->is_cut = false;
	chain->torn = !object;
	chain->nr_torn += !object;
	chain->nr_lost +=
		(unsigned long)json_integer_value(json_object_get(object, "lost"));
	json_decref(object);
	return code ? code : digest_line(line, len, chain->last);
}

static void print_line(FILE *out, json_t *object)
{
	static const char *const skipped[] = {"time", "event", "result", "prev"};
	const char *key;
	json_t *value;

	fprintf(out, "%-24s  %-16s %s", text_of(object, "time"), text_of(object, "event"),
		text_of(object, "result"));
	json_object_foreach(object, key, value)
	{
		bool skip = false;

		for (size_t i = 0; i < sizeof(skipped) / sizeof(*skipped); i++)
			skip |= strcmp(key, skipped[i]) == 0;
		if (!skip && json_is_string(value))
			fprintf(out, " %s=%s", key, json_string_value(value));
		else if (!skip && json_is_integer(value))
			fprintf(out, " %s=%lld", key,
				(long long)json_integer_value(value));
	}
}

/*
 * A log is read when something has happened: who wrote it last may not have been hsmd. To
 * be freed; NULL: out of memory.
 */
static char *line_text(json_t *object)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	print_line(out, object);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	say_clean(text);
	return text;
}

static int show_line(struct chain *chain, const char *line, size_t len)
{
	json_t *object = json_loadb(line, len, 0, NULL);
	char *text = object ? line_text(object) : NULL;
	int code = 0;

	chain->line++;
	if (text)
		puts(text);
	else if (object)
		code = say_error(EXIT_MEMORY, "Out of memory.");
	else
		printf("%-24s  (line %lu of %s cannot be read)\n", "", chain->line,
		       chain->file);
	json_decref(object);
	free(text);
	return code;
}

typedef int visit_line(struct chain *chain, const char *line, size_t len);

static int each_line(FILE *file, struct chain *chain, visit_line *visit)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int code = 0;

	chain->line = 0;
	while (code == 0 && (n = getline(&line, &room, file)) > 0)
		code = visit(chain, line, (size_t)n - (line[n - 1] == '\n'));
	if (code == 0 && ferror(file))
		code = say_error(EXIT_INVALID, "Cannot read the audit log: %s.",
				 strerror(errno));
	free(line);
	return code;
}

/* --- files ------------------------------------------------------------------------- */

static FILE *open_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* Which files were put aside. 0 or -errno. */
static int find_old(struct log *log)
{
	int fd = openat(log->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream)
		return -errno;
	while ((entry = readdir(stream))) {
		unsigned number = auditlog_number(entry->d_name);

		if (number && (!log->first || number < log->first))
			log->first = number;
		if (number > log->last)
			log->last = number;
	}
	closedir(stream);
	return 0;
}

/* While it is put aside, the current file has two names. */
static void drop_twin(struct log *log)
{
	char name[AUDITLOG_NAME_BYTES];
	struct stat old, current;

	auditlog_name(log->last, name);
	if (!log->last || fstatat(log->dir, name, &old, AT_SYMLINK_NOFOLLOW) ||
	    fstat(fileno(log->current), &current) || old.st_ino != current.st_ino ||
	    old.st_dev != current.st_dev)
		return;
	if (log->first == log->last)
		log->first = 0;
	else
		log->last--;
}

/* The current file first: what is put aside meanwhile is then found as its twin. */
static int open_log(struct log *log)
{
	char path[PATH_MAX];
	int rc = runtime_state_dir(path, sizeof(path));

	if (rc < 0)
		return say_error(say_code(rc),
				 "Cannot use the HSM's state directory: %s.",
				 strerror(-rc));
	log->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->dir >= 0)
		log->current = open_file(log->dir, AUDITLOG_FILE);
	rc = log->current ? find_old(log) : -errno;
	if (rc < 0)
		return say_error(say_code(rc),
				 "Cannot open the audit log %s/" AUDITLOG_FILE ": %s.",
				 path, strerror(-rc));
	drop_twin(log);
	return 0;
}

static void close_log(struct log *log)
{
	if (log->current)
		fclose(log->current);
	if (log->dir >= 0)
		close(log->dir);
}

static int each_file(struct log *log, struct chain *chain, visit_line *visit)
{
	int code = 0;

	for (unsigned i = log->first; i && i <= log->last && code == 0; i++) {
		FILE *file;

		auditlog_name(i, chain->file);
		file = open_file(log->dir, chain->file);
		if (!file && errno == ENOENT)
			return say_error(EXIT_INVALID, "%s of the audit log is missing.",
					 chain->file);
		if (!file)
			return say_error(say_code(-errno),
					 "Cannot open %s of the audit log: %s.",
					 chain->file, strerror(errno));
		code = each_line(file, chain, visit);
		fclose(file);
	}
	snprintf(chain->file, sizeof(chain->file), "%s", AUDITLOG_FILE);
	return code ? code : each_line(log->current, chain, visit);
}

static int verify(struct log *log)
{
	unsigned nr_old = log->last - log->first + 1;
	struct chain chain = {.is_cut = log->first > 1};
	int code;

	/* older ones are removed only when there are so many newer ones */
	if (chain.is_cut && nr_old < AUDITLOG_KEPT)
		return say_error(EXIT_INVALID,
				 "The audit log has lost files: %u of the last %d that "
				 "were put aside are there.",
				 nr_old, AUDITLOG_KEPT);
	memset(chain.last, '0', sizeof(chain.last) - 1);
	code = each_file(log, &chain, check_line);
	if (code)
		return code;
	printf("%lu lines, each of which follows the one before.\n", chain.nr_lines);
	if (log->first > 1)
		printf("Older ones are not kept.\n");
	if (chain.nr_torn)
		printf("%lu of them cut off by a crash%s.\n", chain.nr_torn,
		       chain.torn ? ", the last one too" : "");
	if (chain.nr_lost)
		printf("%lu events could not be written; syslog has them.\n",
		       chain.nr_lost);
	if (chain.nr_lines)
		printf("The log ends with %s.\n", chain.last);
	return 0;
}

int cmd_audit(char *const args[], const struct options *options)
{
	bool is_verify = strcmp(args[0], "verify") == 0;
	struct log log = {.dir = -1};
	struct chain chain = {0};
	int code;

	(void)options;
	if (!is_verify && strcmp(args[0], "show") != 0)
		return say_error(EXIT_INVALID, "Usage: hsmsetup audit verify|show");
	code = open_log(&log);
	if (code == 0)
		code = is_verify ? verify(&log) : each_file(&log, &chain, show_line);
	close_log(&log);
	return code;
}
