/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the audit log, in the state directory: AUDITLOG_FILE, which grows, and
 * older ones, numbered from 1 without a gap. Only the last AUDITLOG_KEPT of these stay
 * (hsm/PROTOCOL.md).
 */
#ifndef HSM_API_AUDITLOG_H
#define HSM_API_AUDITLOG_H

#define AUDITLOG_FILE "audit.jsonl"

enum { AUDITLOG_KEPT = 3, AUDITLOG_NAME_BYTES = 32 };

/* The name of older file @number. */
void auditlog_name(unsigned number, char name[AUDITLOG_NAME_BYTES]);

/* The inverse; 0: it is not the name of an older file. */
unsigned auditlog_number(const char *name);

#endif
