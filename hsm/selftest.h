/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_SELFTEST_H
#define HSM_SELFTEST_H

/*
 * Prints what protects keys on this kernel and processor and what does not, and why;
 * tries the sandbox out in child processes rather than believing it. Opens no token and
 * no socket, so that it can run beside a working hsmd. Returns the exit code: 0 all is in
 * force, 1 hsmd would not serve here, 2 it would, with something missing.
 */
int selftest_run(const char *const *tokens, unsigned nr_tokens);

#endif
