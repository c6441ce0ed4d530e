/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded TPM 2.0: libtpms inside this process, behind a TCTI.
 *
 * libtpms has one TPM per process and no locking: there is one at a time, and its caller
 * serialises commands. The process must not fork while it runs and go on using it in the
 * child, who would draw the same random numbers: the TCTI refuses the child.
 */
#ifndef HSM_TOKEN_LIBTPMS_TCTI_H
#define HSM_TOKEN_LIBTPMS_TCTI_H

#include <stddef.h>

#include <tss2/tss2_tcti.h>

/*
 * Powers on the TPM whose state lies under @state_dir (hsm/token/nvram.h), a new one if
 * there is none. 0; -EBUSY (one runs here already, or there in another process);
 * -EUCLEAN (state that is damaged or that libtpms refuses; it is left as it is); or an
 * error of nvram_open(). On error @why gets one sentence.
 */
int libtpms_tcti_open(const char *state_dir, TSS2_TCTI_CONTEXT **out, char *why,
		      size_t why_len);

/* Why it could not write its state when it last tried: -errno, or 0. It fails then. */
int libtpms_tcti_error(TSS2_TCTI_CONTEXT *tcti);

/*
 * Forgets an answer that nobody took. Where the state could not be written, powers off
 * and on again, with what was written last: from its failure a TPM comes back in no other
 * way. Commands fail with an I/O error if that does not succeed.
 */
void libtpms_tcti_restart(TSS2_TCTI_CONTEXT *tcti);

/* Powers off. NULL is allowed. */
void libtpms_tcti_close(TSS2_TCTI_CONTEXT *tcti);

#endif
