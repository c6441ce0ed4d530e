/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/mount_options.h"

#include <stdlib.h>
#include <string.h>

#include "mkfs/options.h"
#include "mkfs/say.h"

/*
 * Said to mount(8), systemd or nobody (reading never moves a time); a '=' or '-' at the
 * end stands for anything behind.
 */
static const char *const not_ours[] = {
	"defaults", "auto",	"noauto",   "user",	  "nouser", "users",
	"owner",    "group",	"_netdev",  "nofail",	  "user=",  "x-",
	"X-",	    "comment=", "relatime", "nodiratime",
};

static bool is_not_ours(const char *word)
{
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(*not_ours); i++) {
		size_t len = strlen(not_ours[i]);
		char last = not_ours[i][len - 1];

		if (last == '=' || last == '-' ? strncmp(word, not_ours[i], len) == 0
					       : strcmp(word, not_ours[i]) == 0)
			return true;
	}
	return false;
}

/* The value of @word if it is @name=value, else NULL. */
static const char *value_of(const char *word, const char *name)
{
	size_t len = strlen(name);

	return strncmp(word, name, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

static int parse_time(const char *word, const char *value, uint64_t *seconds)
{
	if (options_seconds(value, seconds) == 0)
		return 0;
	return say_error(
		EXIT_INVALID,
		"The mount option %s has no time that can be read; write 90s, 30m, "
		"8h or 2d.",
		word);
}

static void pass_on(struct mount_options *out, const char *word)
{
	if (*out->passed)
		strcat(out->passed, ",");
	strcat(out->passed, word);
}

static int take_word(const char *word, struct options *options, struct mount_options *out)
{
	const char *value;

	if (strcmp(word, "ro") == 0) {
		options->given |= OPTION_READ_ONLY;
	} else if (strcmp(word, "rw") == 0) {
		options->given &= ~(unsigned)OPTION_READ_ONLY;
	} else if (strcmp(word, "nonempty") == 0) {
		out->nonempty = true;
	} else if ((value = value_of(word, "keyfile"))) {
		options->key.key_file = value;
	} else if ((value = value_of(word, "lease"))) {
		return parse_time(word, value, &options->lease_s);
	} else if ((value = value_of(word, "idle"))) {
		return parse_time(word, value, &options->idle_s);
	} else if ((value = value_of(word, "max-bytes"))) {
		if (options_rate(value, &options->limit_bytes, &options->limit_s) < 0)
			return say_error(EXIT_INVALID,
					 "The mount option %s has no rate that can be "
					 "read; write 500M/1h or 2G/1d.",
					 word);
	} else if (!is_not_ours(word)) {
		out->shared |= strcmp(word, "sharedstorage") == 0;
		pass_on(out, word);
	}
	return 0;
}

int mount_options_parse(const char *text, struct options *options,
			struct mount_options *out)
{
	char *word, *save;
	int code = 0;

	out->nonempty = out->shared = false;
	out->words = strdup(text);
	out->passed = calloc(1, strlen(text) + 1);
	if (!out->words || !out->passed)
		return say_error(EXIT_MEMORY, "Out of memory.");
	for (word = strtok_r(out->words, ",", &save); word && code == 0;
	     word = strtok_r(NULL, ",", &save))
		code = take_word(word, options, out);
	return code;
}

void mount_options_fini(struct mount_options *out)
{
	free(out->words);
	free(out->passed);
}
