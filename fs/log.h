/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warnings: to stderr until log_to_syslog() was called. Callers never pass plain names,
 * file content or keys; an inode is named by its number.
 */
#ifndef FS_LOG_H
#define FS_LOG_H

/* From now on to syslog (a daemon has no stderr). */
void log_to_syslog(void);

void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
