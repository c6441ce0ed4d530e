/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "hsm/api/secmem.h"
#include "hsm/api/wire.h"
#include "mkfs/say.h"
#include "mkfs/terminal.h"

/* Bytes read until @len are there or the file ends; -errno. */
static ssize_t read_full(int fd, uint8_t *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* --- key files ------------------------------------------------------------------- */

/* Standard input may be a pipe: what can't be sought is read and dropped. */
static int skip(int fd, uint64_t offset, uint8_t *scratch, size_t len)
{
	if (offset > INT64_MAX)
		return -EINVAL;
	if (lseek(fd, (off_t)offset, SEEK_CUR) >= 0)
		return 0;
	while (offset) {
		ssize_t n = read_full(fd, scratch, offset < len ? (size_t)offset : len);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -ENODATA;
		offset -= (uint64_t)n;
	}
	return 0;
}

static int read_content(int fd, const struct passphrase_source *source,
			struct passphrase *out)
{
	size_t want = source->size ? (size_t)source->size : WIRE_PASSPHRASE_MAX + 1;
	ssize_t n = skip(fd, source->offset, out->bytes, WIRE_PASSPHRASE_MAX);

	if (n == 0)
		n = read_full(fd, out->bytes, want);
	if (n == -ENODATA || (n == 0 && source->offset) ||
	    (n >= 0 && source->size && (size_t)n < want))
		return say_error(EXIT_INVALID,
				 "The key file %s is shorter than --keyfile-offset and "
				 "--keyfile-size ask for.",
				 source->key_file);
	if (n < 0)
		return say_error(say_code((int)n), "Cannot read the key file %s: %s.",
				 source->key_file, strerror((int)-n));
	if (n > WIRE_PASSPHRASE_MAX)
		return say_error(
			EXIT_INVALID,
			"The key file %s is longer than %d bytes; choose a part of "
			"it with --keyfile-size.",
			source->key_file, WIRE_PASSPHRASE_MAX);
	out->len = (size_t)n;
	return 0;
}

static int read_key_file(const struct passphrase_source *source, struct passphrase *out)
{
	int fd = STDIN_FILENO;
	int rc;

	if (source->size > WIRE_PASSPHRASE_MAX)
		return say_error(EXIT_INVALID, "A key file has at most %d bytes.",
				 WIRE_PASSPHRASE_MAX);
	if (strcmp(source->key_file, "-") != 0)
		fd = open(source->key_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return say_error(say_code(-errno), "Cannot open the key file %s: %s.",
				 source->key_file, strerror(errno));
	rc = read_content(fd, source, out);
	if (fd != STDIN_FILENO)
		close(fd);
	return rc;
}

/* --- lines ----------------------------------------------------------------------- */

/* Byte by byte: what follows the newline is somebody else's. -ENODATA at once at the end.
 */
static int read_line(struct passphrase *out)
{
	for (out->len = 0;; out->len++) {
		ssize_t n = read_full(STDIN_FILENO, out->bytes + out->len, 1);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return out->len ? 0 : -ENODATA;
		if (out->bytes[out->len] == '\n')
			return 0;
		if (out->len == PASSPHRASE_LINE_MAX)
			return -EMSGSIZE;
	}
}

static int check_line(int rc)
{
	if (rc == 0)
		return 0;
	if (rc == -EMSGSIZE)
		return say_error(
			EXIT_INVALID,
			"The passphrase is longer than %d bytes; use --key-file for "
			"a longer one.",
			PASSPHRASE_LINE_MAX);
	if (rc == -ENODATA)
		return say_error(EXIT_INVALID, "Nothing to read on input: give the "
					       "passphrase there or use --key-file.");
	return say_error(say_code(rc), "Cannot read the passphrase: %s.", strerror(-rc));
}

static int ask(const char *prompt, struct passphrase *out)
{
	return check_line(
		terminal_ask(prompt, out->bytes, PASSPHRASE_LINE_MAX, &out->len));
}

static int ask_twice(const char *prompt, struct passphrase *out)
{
	struct passphrase again = {.bytes = secmem_alloc(PASSPHRASE_LINE_MAX + 1)};
	int rc;

	if (!again.bytes)
		return say_error(EXIT_MEMORY, "No memory that can be locked is left.");
	rc = ask(prompt, out);
	if (rc == 0)
		rc = ask("Verify passphrase: ", &again);
	if (rc == 0 && (again.len != out->len ||
			secmem_compare(again.bytes, out->bytes, out->len) != 0))
		rc = say_error(EXIT_DENIED, "Passphrases do not match.");
	passphrase_fini(&again);
	return rc;
}

/* A terminal is no file, whatever it is called: what is typed there must not show. */
static int type(const struct passphrase_source *source, const char *prompt, bool verify,
		struct passphrase *out)
{
	if (source->offset || source->size)
		return say_error(EXIT_INVALID, "What is typed is taken as it is, without "
					       "--keyfile-offset or --keyfile-size.");
	return verify ? ask_twice(prompt, out) : ask(prompt, out);
}

bool passphrase_is_typed(const struct passphrase_source *source)
{
	return (!source->key_file || !strcmp(source->key_file, "-")) &&
	       isatty(STDIN_FILENO);
}

int passphrase_read(const struct passphrase_source *source, const char *prompt,
		    bool verify, struct passphrase *out)
{
	int rc;

	out->len = 0;
	out->bytes = secmem_alloc(WIRE_PASSPHRASE_MAX + 1);
	if (!out->bytes)
		return say_error(EXIT_MEMORY, "No memory that can be locked is left; see "
					      "ulimit -l.");
	if (passphrase_is_typed(source))
		rc = type(source, prompt, verify, out);
	else if (source->key_file)
		rc = read_key_file(source, out);
	else
		rc = check_line(read_line(out));
	if (rc)
		passphrase_fini(out);
	return rc;
}

int passphrase_read_new(const struct passphrase_source *source, const char *prompt,
			bool batch, struct passphrase *out)
{
	int code = passphrase_read(source, prompt, !batch, out);

	if (code || out->len || (source->key_file && !passphrase_is_typed(source)))
		return code;
	passphrase_fini(out);
	return say_error(EXIT_INVALID,
			 "An empty passphrase protects nothing; choose one.");
}

void passphrase_fini(struct passphrase *passphrase)
{
	secmem_free(passphrase->bytes);
	passphrase->bytes = NULL;
	passphrase->len = 0;
}
