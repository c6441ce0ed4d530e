/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/api/keyslot.h"
#include "hsm/api/wire.h"
#include "mkfs/say.h"

enum {
	RATE_MIN = 2 << 20, /* the HSM wants a limit that one large read fits in */
	FIRST_VALUE = 256,  /* what getopt_long() returns is this plus the row below */
};

struct option_row {
	unsigned bit;
	char letter; /* or 0 */
	const char *name;
	const char *value; /* NULL: takes none */
	const char *help;
};

static const struct option_row rows[] = {
	{OPTION_HELP, '?', "help", NULL, "show this help"},
	{OPTION_VERSION, 'V', "version", NULL, "show the version"},
	{OPTION_BATCH, 'q', "batch-mode", NULL, "ask no questions"},
	{OPTION_KEY_FILE, 'd', "key-file", "FILE",
	 "read the passphrase from FILE (-: stdin)"},
	{OPTION_KEYFILE_SIZE, 'l', "keyfile-size", "BYTES", "take only BYTES of it"},
	{OPTION_KEYFILE_OFFSET, 0, "keyfile-offset", "BYTES", "skip BYTES of it"},
	{OPTION_ITER_TIME, 'i', "iter-time", "MS", "time one passphrase try takes"},
	{OPTION_PBKDF_TIME, 0, "pbkdf-force-iterations", "N",
	 "argon2id passes, unmeasured"},
	{OPTION_PBKDF_MEMORY, 0, "pbkdf-memory", "KIB",
	 "argon2id memory, with the former"},
	{OPTION_PBKDF_LANES, 0, "pbkdf-parallel", "N", "argon2id lanes, with the former"},
	{OPTION_NO_RECOVERY, 0, "no-recovery", NULL, "make no recovery key"},
	{OPTION_RECOVERY_FILE, 0, "recovery-file", "FILE",
	 "write the recovery key to FILE"},
	{OPTION_TOKEN, 0, "token", "TPM", "of hsmsetup token list; default: its first"},
	{OPTION_PCRS, 0, "tpm2-pcrs", "PCRS", "must stay as they are (7+11)"},
	{OPTION_SLOT, 'S', "key-slot", "N", "number of the new slot"},
	{OPTION_NEW_KEY_FILE, 0, "new-keyfile", "FILE",
	 "read the new passphrase from FILE"},
	{OPTION_READ_ONLY, 'r', "readonly", NULL, "mount read-only"},
	{OPTION_MOUNT, 'o', "options", "OPTIONS", "mount options for hsmfs"},
	{OPTION_LEASE, 0, "lease", "TIME", "lock after TIME (90s, 30m, 8h, 2d)"},
	{OPTION_IDLE, 0, "idle", "TIME", "lock after TIME without use"},
	{OPTION_MAX_BYTES, 0, "max-bytes", "BYTES/TIME",
	 "read no more than that (2G/1h)"},
	{OPTION_ALL, 0, "all", NULL, "all your volumes, instead of one mount point"},
	{OPTION_JSON, 0, "json", NULL, "print JSON"},
};

enum { NR_ROWS = sizeof(rows) / sizeof(*rows) };

/* --- values ---------------------------------------------------------------------- */

static int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || *value < min ||
	    *value > max)
		return -EINVAL;
	return 0;
}

static int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
	uint64_t wide;
	int rc = parse_number(text, min, max, &wide);

	*value = (uint32_t)wide;
	return rc;
}

int options_seconds(const char *text, uint64_t *seconds)
{
	static const struct {
		char letter;
		uint32_t seconds;
	} units[] = {{'\0', 1}, {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	char *end;

	errno = 0;
	*seconds = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || errno || *seconds > UINT32_MAX ||
	    (*end && end[1]))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (*end == units[i].letter) {
			*seconds *= units[i].seconds;
			return 0;
		}
	}
	return -EINVAL;
}

int options_rate(const char *text, uint64_t *bytes, uint64_t *seconds)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || errno)
		return -EINVAL;
	unit = *end && *end != '/' ? strchr(units, *end) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		if (*bytes > UINT64_MAX >> shift)
			return -EINVAL;
		*bytes <<= shift;
		end++;
	}
	if (*end != '/' || *bytes < RATE_MIN || options_seconds(end + 1, seconds) < 0)
		return -EINVAL;
	return *seconds ? 0 : -EINVAL;
}

int options_pcrs(const char *text, uint32_t *mask)
{
	*mask = 0;
	for (;;) {
		char *end;
		unsigned long pcr = strtoul(text, &end, 10);

		if (!isdigit((unsigned char)*text) || pcr >= KEYSLOT_PCRS ||
		    (*end && *end != '+'))
			return -EINVAL;
		*mask |= UINT32_C(1) << pcr;
		if (!*end)
			return 0;
		text = end + 1;
	}
}

int options_add_mount(struct options *options, const char *words)
{
	char *all = options->mount_options;
	size_t len = strlen(all), room = sizeof(options->mount_options) - len;
	int n = snprintf(all + len, room, "%s%s", len ? "," : "", words);

	return (size_t)n < room ? 0 : -EINVAL;
}

static int set_value(struct options *options, unsigned bit, const char *text)
{
	switch (bit) {
	case OPTION_KEY_FILE:
		options->key.key_file = text;
		return 0;
	case OPTION_KEYFILE_SIZE:
		return parse_number(text, 1, WIRE_PASSPHRASE_MAX, &options->key.size);
	case OPTION_KEYFILE_OFFSET:
		return parse_number(text, 0, INT64_MAX, &options->key.offset);
	case OPTION_ITER_TIME:
		return parse_u32(text, 1, WIRE_KDF_MS_MAX, &options->iter_time_ms);
	case OPTION_PBKDF_TIME:
		return parse_u32(text, 1, KEYSLOT_KDF_MAX_TIME, &options->pbkdf_time);
	case OPTION_PBKDF_MEMORY:
		return parse_u32(text, KEYSLOT_KDF_MIN_KIB, KEYSLOT_KDF_MAX_KIB,
				 &options->pbkdf_memory_kib);
	case OPTION_PBKDF_LANES:
		return parse_u32(text, 1, KEYSLOT_KDF_MAX_LANES, &options->pbkdf_lanes);
	case OPTION_RECOVERY_FILE:
		options->recovery_file = text;
		return 0;
	case OPTION_TOKEN:
		options->token = text;
		return 0;
	case OPTION_PCRS:
		return options_pcrs(text, &options->pcrs);
	case OPTION_SLOT:
		return parse_u32(text, 0, KEYSLOT_COUNT - 1, &options->slot);
	case OPTION_NEW_KEY_FILE:
		options->new_key_file = text;
		return 0;
	case OPTION_MOUNT:
		return options_add_mount(options, text);
	case OPTION_LEASE:
		return options_seconds(text, &options->lease_s);
	case OPTION_IDLE:
		return options_seconds(text, &options->idle_s);
	case OPTION_MAX_BYTES:
		return options_rate(text, &options->limit_bytes, &options->limit_s);
	default:
		return 0;
	}
}

/* --- parsing --------------------------------------------------------------------- */

static void make_getopt(struct option *longs, char *shorts)
{
	*shorts++ = ':'; /* a missing value is reported as ':' and nothing printed */
	for (int i = 0; i < NR_ROWS; i++) {
		int has_value = rows[i].value ? required_argument : no_argument;

		longs[i] =
			(struct option){rows[i].name, has_value, NULL, FIRST_VALUE + i};
		/* '?' is what getopt() says of an unknown option: not in the list. */
		if (rows[i].letter && rows[i].letter != '?') {
			*shorts++ = rows[i].letter;
			if (rows[i].value)
				*shorts++ = ':';
		}
	}
	*shorts = '\0';
	longs[NR_ROWS] = (struct option){0};
}

static const struct option_row *find_row(int value)
{
	for (int i = 0; i < NR_ROWS; i++) {
		if (value == FIRST_VALUE + i || value == rows[i].letter)
			return &rows[i];
	}
	return NULL;
}

static int say_unknown(const char *word)
{
	if (optopt >= FIRST_VALUE)
		return say_error(EXIT_INVALID, "Option --%s takes no value.",
				 rows[optopt - FIRST_VALUE].name);
	if (optopt)
		return say_error(EXIT_INVALID, "Unknown option -%c; try --help.", optopt);
	return say_error(EXIT_INVALID, "Unknown option %s; try --help.", word);
}

int options_parse(int argc, char **argv, struct options *options, int *first)
{
	struct option longs[NR_ROWS + 1];
	char shorts[2 * NR_ROWS + 2];
	int value;

	memset(options, 0, sizeof(*options));
	make_getopt(longs, shorts);
	opterr = 0;
	while ((value = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct option_row *row;

		if (value == ':')
			return say_error(EXIT_INVALID, "Option %s needs a value.",
					 argv[optind - 1]);
		if (value == '?' && optopt != '?')
			return say_unknown(argv[optind - 1]);
		row = find_row(value);
		options->given |= row->bit;
		if (set_value(options, row->bit, optarg) < 0)
			return say_error(
				EXIT_INVALID,
				"--%s does not take the value %s; see hsmsetup(8).",
				row->name, optarg);
	}
	*first = optind;
	return 0;
}

int options_check(const struct options *options, unsigned allowed, const char *command)
{
	for (int i = 0; i < NR_ROWS; i++) {
		if (options->given & rows[i].bit & ~allowed)
			return say_error(
				EXIT_INVALID,
				"Option --%s does not belong to %s; try hsmsetup "
				"%s --help.",
				rows[i].name, command, command);
	}
	return 0;
}

void options_help(unsigned allowed)
{
	for (int i = 0; i < NR_ROWS; i++) {
		char text[64];

		if (!(rows[i].bit & allowed))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", rows[i].name,
			 rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
		printf("  %c%c%c %-26s %s\n", rows[i].letter ? '-' : ' ',
		       rows[i].letter ? rows[i].letter : ' ', rows[i].letter ? ',' : ' ',
		       text, rows[i].help);
	}
}
