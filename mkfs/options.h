/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of options, of which each command allows some. */
#ifndef MKFS_OPTIONS_H
#define MKFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "mkfs/passphrase.h"

/* Bits of options.given and command.options. */
enum {
	OPTION_HELP = 1 << 0,
	OPTION_VERSION = 1 << 1,
	OPTION_BATCH = 1 << 2,
	OPTION_KEY_FILE = 1 << 3,
	OPTION_KEYFILE_SIZE = 1 << 4,
	OPTION_KEYFILE_OFFSET = 1 << 5,
	OPTION_ITER_TIME = 1 << 6,
	OPTION_PBKDF_TIME = 1 << 7,
	OPTION_PBKDF_MEMORY = 1 << 8,
	OPTION_PBKDF_LANES = 1 << 9,
	OPTION_NO_RECOVERY = 1 << 10,
	OPTION_RECOVERY_FILE = 1 << 11,
	OPTION_READ_ONLY = 1 << 12,
	OPTION_MOUNT = 1 << 13,
	OPTION_LEASE = 1 << 14,
	OPTION_IDLE = 1 << 15,
	OPTION_JSON = 1 << 16,
	OPTION_MAX_BYTES = 1 << 17,
	OPTION_TOKEN = 1 << 18,
	OPTION_PCRS = 1 << 19,
	OPTION_SLOT = 1 << 20,
	OPTION_NEW_KEY_FILE = 1 << 21,
	OPTION_ALL = 1 << 22,

	OPTIONS_KEY = OPTION_KEY_FILE | OPTION_KEYFILE_SIZE | OPTION_KEYFILE_OFFSET,
	OPTIONS_PBKDF = OPTION_PBKDF_TIME | OPTION_PBKDF_MEMORY | OPTION_PBKDF_LANES,
	OPTIONS_TPM = OPTION_TOKEN | OPTION_PCRS,
	OPTIONS_LEASE = OPTION_LEASE | OPTION_IDLE | OPTION_MAX_BYTES,
};

enum { MOUNT_OPTIONS_MAX = 8192 };

struct options {
	unsigned given; /* OPTION_* */
	struct passphrase_source key;
	uint32_t iter_time_ms;
	uint32_t pbkdf_time;
	uint32_t pbkdf_memory_kib;
	uint32_t pbkdf_lanes;
	const char *recovery_file;
	const char *token; /* as token_choose() takes it, or NULL */
	uint32_t pcrs;	   /* mask */
	uint32_t slot;
	const char *new_key_file;	       /* or NULL */
	char mount_options[MOUNT_OPTIONS_MAX]; /* of all -o together */
	uint64_t lease_s;
	uint64_t idle_s;
	uint64_t limit_bytes; /* in every limit_s seconds; 0: no limit */
	uint64_t limit_s;
};

/*
 * Parses @argv from the second word on, moving what is not an option to the end, where
 * *@first then is. 0 or an exit code, having said why.
 */
int options_parse(int argc, char **argv, struct options *options, int *first);

/* Adds the words of one more -o. 0, or -EINVAL: they are too long. */
int options_add_mount(struct options *options, const char *words);

/* Says so when one was given that is not in @allowed. 0 or an exit code. */
int options_check(const struct options *options, unsigned allowed, const char *command);

/* Prints the help lines of those in @allowed. */
void options_help(unsigned allowed);

/* "500M/1h", "2G/1d": bytes, with K, M, G or T times 1024, a period; 0 or -EINVAL. */
int options_rate(const char *text, uint64_t *bytes, uint64_t *seconds);

/* "7+11": PCR numbers as a mask; 0 or -EINVAL. */
int options_pcrs(const char *text, uint32_t *mask);

/* "90s", "30m", "8h", "2d" or plain seconds; 0 or -EINVAL. */
int options_seconds(const char *text, uint64_t *seconds);

#endif
