/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "hsm/audit.h"
#include "hsm/clock.h"

enum {
	DIGEST_BYTES = 32,
	LINE_MAX_BYTES = 1024, /* ours are shorter */
	SUMMARY_MS = 60000,
};

static const char *const names[] = {
	[AUDIT_START] = "start",
	[AUDIT_STOP] = "stop",
	[AUDIT_TORN] = "torn",
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
	int fd;
	uint64_t lost; /* events that could not be written */
	uint8_t chain[DIGEST_BYTES];
	struct summary summaries[NR_EVENTS];
} audit = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

/* --- a line ------------------------------------------------------------------------ */

struct line {
	char text[LINE_MAX_BYTES];
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
	add_hex(line, "prev", audit.chain, DIGEST_BYTES);
	add(line, "}\n");
}

/* --- the file ---------------------------------------------------------------------- */

static int digest(const void *text, size_t len, uint8_t out[DIGEST_BYTES])
{
	return EVP_Digest(text, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

/*
 * One write(), so that a crash can cut the last line but not mix two. What a failed one
 * may have left is a line that was cut off.
 */
static int append(const struct line *line)
{
	uint8_t next[DIGEST_BYTES];
	int ret = digest(line->text, line->len - 1, next);
	off_t end = lseek(audit.fd, 0, SEEK_END);
	ssize_t n;

	if (ret)
		return ret;
	if (end < 0)
		return -errno;
	n = write(audit.fd, line->text, line->len);
	if (n == (ssize_t)line->len) {
		memcpy(audit.chain, next, sizeof(next));
		return 0;
	}
	ret = n < 0 ? -errno : -ENOSPC;
	if (ftruncate(audit.fd, end))
		syslog(LOG_ERR, "the audit log ends in half a line");
	return ret;
}

/* The lock is held. */
static void write_locked(const struct audit_record *record, bool sync)
{
	struct line line;
	int ret;

	compose(&line, record);
	ret = append(&line);
	if (!ret && sync && fdatasync(audit.fd))
		ret = -errno;
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
	uint64_t now = clock_now_ms();

	pthread_mutex_lock(&audit.lock);
	if (audit.fd >= 0) {
		flush_summary(AUDIT_HANDLES, now, false);
		flush_summary(AUDIT_LIMIT, now, false);
		write_locked(record, true);
	}
	pthread_mutex_unlock(&audit.lock);
}

void audit_refused(enum audit_event event, const uint8_t uuid[KEYSLOT_UUID_BYTES])
{
	struct summary *summary = &audit.summaries[event];

	pthread_mutex_lock(&audit.lock);
	if (audit.fd >= 0) {
		summary->mixed |=
			summary->count && memcmp(summary->uuid, uuid, KEYSLOT_UUID_BYTES);
		memcpy(summary->uuid, uuid, KEYSLOT_UUID_BYTES);
		summary->count++;
		flush_summary(event, clock_now_ms(), false);
	}
	pthread_mutex_unlock(&audit.lock);
}

/* --- going on with a log ------------------------------------------------------------ */

/*
 * The chain's value after the last line. A line without its newline was cut off by a
 * crash: it gets one, and the next line says so. A line longer than any of ours is hashed
 * from its last LINE_MAX_BYTES on, which no verifier accepts: nor is it one of ours.
 */
static int find_end(bool *torn)
{
	char tail[2 * LINE_MAX_BYTES];
	off_t size = lseek(audit.fd, 0, SEEK_END);
	off_t from = size > (off_t)sizeof(tail) ? size - (off_t)sizeof(tail) : 0;
	const char *start;
	ssize_t n;

	*torn = false;
	if (size <= 0)
		return size < 0 ? -errno : 0;
	n = pread(audit.fd, tail, (size_t)(size - from), from);
	if (n != size - from)
		return n < 0 ? -errno : -EIO;
	*torn = tail[n - 1] != '\n';
	if (*torn && write(audit.fd, "\n", 1) != 1)
		return -errno;
	n -= !*torn;
	start = memrchr(tail, '\n', (size_t)n);
	start = start ? start + 1 : tail;
	return digest(start, (size_t)(tail + n - start), audit.chain);
}

static int open_log(const char *path)
{
	struct stat st;
	int fd = open(path,
		      O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		      0600);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		ret = -EPERM;
	else if (flock(fd, LOCK_EX | LOCK_NB))
		ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

int audit_open(const char *state_dir, char *why, size_t why_len)
{
	struct audit_record torn_line = {.event = AUDIT_TORN, .slot = -1};
	char path[4096];
	bool torn;
	int ret = -ENAMETOOLONG;

	memset(audit.chain, 0, sizeof(audit.chain));
	memset(audit.summaries, 0, sizeof(audit.summaries));
	if ((size_t)snprintf(path, sizeof(path), "%s/audit.jsonl", state_dir) <
	    sizeof(path))
		ret = audit.fd = open_log(path);
	if (ret >= 0)
		ret = find_end(&torn);
	if (ret < 0) {
		snprintf(why, why_len, "the audit log %s/audit.jsonl cannot be used (%s)",
			 state_dir,
			 ret == -EBUSY ? "another hsmd writes it" : strerror(-ret));
		audit_close();
		return ret;
	}
	if (torn)
		audit_write(&torn_line);
	return 0;
}

void audit_close(void)
{
	pthread_mutex_lock(&audit.lock);
	if (audit.fd >= 0) {
		flush_summary(AUDIT_HANDLES, 0, true);
		flush_summary(AUDIT_LIMIT, 0, true);
		close(audit.fd);
	}
	audit.fd = -1;
	pthread_mutex_unlock(&audit.lock);
}
