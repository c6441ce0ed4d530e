/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files behind hsm/audit.h: one that lines are appended to and that is put aside when
 * it is long, so that the log has a bound. One hsmd at a time.
 */
#ifndef HSM_AUDIT_FILE_H
#define HSM_AUDIT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	AUDIT_DIGEST_BYTES = 32,
	AUDIT_LINE_MAX = 1024, /* ours are shorter */
};

struct audit_file {
	int dir, fd;
	unsigned nr_old; /* number of the last file that was put aside */
	off_t full_at;	 /* bytes */
	uint8_t chain[AUDIT_DIGEST_BYTES]; /* digest of the last line */
};

/*
 * Opens or makes the log in @state_dir. *@torn: its last line was cut off by a crash, and
 * has been given a newline. 0, -EBUSY (another hsmd writes it) or -errno;
 * audit_file_fini() afterwards in any case.
 */
int audit_file_init(struct audit_file *file, const char *state_dir, bool *torn);
void audit_file_fini(struct audit_file *file);

/* Whether the next line should begin another file. */
bool audit_file_is_full(const struct audit_file *file);

/* Appends a line, which ends with its newline; with @sync, to the disk. 0 or -errno. */
int audit_file_append(struct audit_file *file, const char *line, size_t len, bool sync);

/*
 * Puts the file aside and begins another with @line, whose chain is the old one's; too
 * old ones are removed. 0, or -errno with nothing changed: it gets longer for a while.
 */
int audit_file_rotate(struct audit_file *file, const char *line, size_t len);

#endif
