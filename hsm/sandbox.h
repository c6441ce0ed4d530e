/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hsmd takes away from itself, so that who takes over the process finds little to
 * use and no key to take along. Called by the only thread, in the order below.
 */
#ifndef HSM_SANDBOX_H
#define HSM_SANDBOX_H

#include <stdbool.h>

enum sandbox_measure {
	SANDBOX_NOT_DUMPABLE, /* no ptrace by its user, no core file */
	SANDBOX_NO_NEW_PRIVS,
	SANDBOX_LANDLOCK,   /* files: only the state and runtime directories */
	SANDBOX_SECCOMP,    /* only the system calls it needs, else it is killed */
	SANDBOX_MLOCK,	    /* ordinary memory is not swapped out */
	SANDBOX_WIPED_FREE, /* ordinary memory is overwritten when freed */
	SANDBOX_MEASURES,
};

/* What is in force, and if not, why. */
struct sandbox_report {
	struct {
		bool in_force;
		char why[96];
	} measures[SANDBOX_MEASURES];
};

struct sandbox_config {
	const char *state_dir;
	const char *runtime_dir;
	const char *const *tokens; /* configurations as for token_open() */
	unsigned nr_tokens;
};

/* "seccomp"...: for people. */
extern const char *const sandbox_names[SANDBOX_MEASURES];

/*
 * Before anything else: opens missing standard streams, forgets the environment but for
 * where directories are, sets limits, makes the process undumpable. 0 or -errno.
 */
int sandbox_begin(void);

/*
 * When all files, devices and sockets are open and no other thread runs. A measure that
 * the kernel does not have is left out and reported; 0, or -errno when one that it has
 * cannot be taken.
 */
int sandbox_enter(const struct sandbox_config *config, struct sandbox_report *report);

#endif
