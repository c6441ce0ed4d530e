/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "hsm/api/auditlog.h"
#include "hsm/audit.h"
#include "hsm/audit_file.h"
#include "hsm/clock.h"

enum { SUMMARY_MS = 60000 };

static const char *const names[] = {
	[AUDIT_START] = "start",
	[AUDIT_STOP] = "stop",
	[AUDIT_TORN] = "torn",
	[AUDIT_ROTATED] = "rotated",
	[AUDIT_TOKEN] = "token",
	[AUDIT_CREATE] = "create",
	[AUDIT_UNLOCK] = "unlock",
	[AUDIT_SLOT] = "slot",
	[AUDIT_LOCK] = "lock",
	[AUDIT_LEASE_OVER] = "lease-over",
	[AUDIT_HANDLES] = "handles-refused",
	[AUDIT_LIMIT] = "over-limit",
};
enum { NR_EVENTS = sizeof(names) / sizeof(names[0]) };

/* Refusals that no line tells of yet. */
struct summary {
	uint64_t count;
	uint64_t next_ms; /* not before */
	bool mixed;	  /* of several volumes; @uuid is one of them */
	uint8_t uuid[KEYSLOT_UUID_BYTES];
};

static struct {
	pthread_mutex_t lock;
	struct audit_file file;
	uint64_t lost; /* events that could not be written */
	struct summary summaries[NR_EVENTS];
} audit = {.lock = PTHREAD_MUTEX_INITIALIZER, .file = {.dir = -1, .fd = -1}};

/* --- a line ------------------------------------------------------------------------ */

struct line {
	char text[AUDIT_LINE_MAX];
	size_t len;
};

static void __attribute__((format(printf, 2, 3)))
add(struct line *line, const char *format, ...)
{
	size_t room = sizeof(line->text) - line->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->text + line->len, room, format, args);
	va_end(args);
	/* longer than it can be: cut, and found by who verifies */
	line->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void add_hex(struct line *line, const char *key, const uint8_t *bytes, size_t len)
{
	add(line, ",\"%s\":\"", key);
	for (size_t i = 0; i < len; i++)
		add(line, "%02x", bytes[i]);
	add(line, "\"");
}

static void add_time(struct line *line)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	add(line, "\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\"", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    now.tv_nsec / 1000000);
}

static void compose(struct line *line, const struct audit_record *record)
{
	line->len = 0;
	add(line, "{");
	add_time(line);
	add(line, ",\"event\":\"%s\",\"hsmd\":%d", names[record->event], getpid());
	if (record->pid)
		add(line, ",\"pid\":%d", record->pid);
	if (record->uuid)
		add_hex(line, "uuid", record->uuid, KEYSLOT_UUID_BYTES);
	if (record->tpm)
		add_hex(line, "tpm", record->tpm, KEYSLOT_TPM_NAME_BYTES);
	if (record->slot >= 0)
		add(line, ",\"slot\":%d", record->slot);
	if (record->count)
		add(line, ",\"count\":%llu", (unsigned long long)record->count);
	if (audit.lost)
		add(line, ",\"lost\":%llu", (unsigned long long)audit.lost);
	add(line, ",\"result\":\"%s\"",
	    record->result ? strerrorname_np(-record->result) : "ok");
	add_hex(line, "prev", audit.file.chain, AUDIT_DIGEST_BYTES);
	add(line, "}\n");
}

/* --- the log ----------------------------------------------------------------------- */

static void rotate(void)
{
	const struct audit_record rotated = {.event = AUDIT_ROTATED, .slot = -1};
	struct line line;
	int ret;

	compose(&line, &rotated);
	ret = audit_file_rotate(&audit.file, line.text, line.len);
	if (ret)
		syslog(LOG_ERR, "the audit log cannot be put aside: %s", strerror(-ret));
	else
		audit.lost = 0;
}

/* The lock is held. */
static void write_locked(const struct audit_record *record, bool sync)
{
	struct line line;
	int ret;

	/* what is said of the line before stays with it */
	if (record->event != AUDIT_TORN && audit_file_is_full(&audit.file))
		rotate();
	compose(&line, record);
	ret = audit_file_append(&audit.file, line.text, line.len, sync);
	if (ret) {
		audit.lost++;
		syslog(LOG_ERR, "audit log: %s: %s", strerror(-ret), line.text);
	} else {
		audit.lost = 0;
	}
}

static void flush_summary(enum audit_event event, uint64_t now_ms, bool at_once)
{
	struct summary *summary = &audit.summaries[event];
	struct audit_record record = {.event = event,
				      .uuid = summary->mixed ? NULL : summary->uuid,
				      .slot = -1,
				      .count = summary->count};

	if (!summary->count || (!at_once && now_ms < summary->next_ms))
		return;
	write_locked(&record, false);
	summary->count = 0;
	summary->mixed = false;
	summary->next_ms = now_ms + SUMMARY_MS;
}

void audit_write(const struct audit_record *record)
{
	bool is_last = record->event == AUDIT_STOP;
	uint64_t now = clock_now_ms();

	pthread_mutex_lock(&audit.lock);
	if (audit.file.fd >= 0) {
		flush_summary(AUDIT_HANDLES, now, is_last);
		flush_summary(AUDIT_LIMIT, now, is_last);
		write_locked(record, true);
	}
	pthread_mutex_unlock(&audit.lock);
}

void audit_refused(enum audit_event event, const uint8_t uuid[KEYSLOT_UUID_BYTES])
{
	struct summary *summary = &audit.summaries[event];

	pthread_mutex_lock(&audit.lock);
	if (audit.file.fd >= 0) {
		summary->mixed |=
			summary->count && memcmp(summary->uuid, uuid, KEYSLOT_UUID_BYTES);
		memcpy(summary->uuid, uuid, KEYSLOT_UUID_BYTES);
		summary->count++;
		flush_summary(event, clock_now_ms(), false);
	}
	pthread_mutex_unlock(&audit.lock);
}

int audit_open(const char *state_dir, char *why, size_t why_len)
{
	struct audit_record torn_line = {.event = AUDIT_TORN, .slot = -1};
	bool torn;
	int ret;

	memset(audit.summaries, 0, sizeof(audit.summaries));
	ret = audit_file_init(&audit.file, state_dir, &torn);
	if (ret < 0) {
		snprintf(why, why_len,
			 "the audit log %s/" AUDITLOG_FILE " cannot be used (%s)",
			 state_dir,
			 ret == -EBUSY ? "another hsmd writes it" : strerror(-ret));
		audit_file_fini(&audit.file);
		return ret;
	}
	if (torn)
		audit_write(&torn_line);
	return 0;
}

void audit_close(void)
{
	pthread_mutex_lock(&audit.lock);
	audit_file_fini(&audit.file);
	pthread_mutex_unlock(&audit.lock);
}
