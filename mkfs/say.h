/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes (cryptsetup's) and the one sentence that goes with each failure. */
#ifndef MKFS_SAY_H
#define MKFS_SAY_H

enum exit_code {
	EXIT_INVALID = 1, /* bad arguments, not a volume, or anything not listed below */
	EXIT_DENIED = 2,  /* no permission; wrong passphrase */
	EXIT_MEMORY = 3,
	EXIT_PATH = 4, /* no such directory or mount point */
	EXIT_BUSY = 5, /* exists already, or is in use */
};

/*
 * Puts '?' in the place of what would steer a terminal: names and answers that are shown
 * may be an attacker's.
 */
void say_clean(char *text);

/* Prints the sentence, cleaned, on stderr and returns @code. */
int say_error(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The exit code for a negative errno. */
int say_code(int rc);

/* Says that the HSM, asked for something that takes its TPM, cannot do @what. */
int say_hsm_error(const char *what, int rc);

/*
 * Writes @text to stdout at once, past stdio's buffers, which would keep a secret.
 * 0 or -errno.
 */
int say_plain(const char *text);

#endif
