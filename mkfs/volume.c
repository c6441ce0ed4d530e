/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/volume/hex.h"
#include "hsm/api/client.h"
#include "hsm/api/secmem.h"
#include "mkfs/busy.h"
#include "mkfs/options.h"
#include "mkfs/passphrase.h"
#include "mkfs/recovery.h"
#include "mkfs/say.h"

enum {
	TRIES = 3,	     /* for a person, as cryptsetup gives */
	TPM_NAME_SHOWN = 8,  /* bytes of a TPM's name that tell it from others */
	TPM_NAME_PREFIX = 2, /* the hash algorithm, the same for all */
};

int volume_open_directory(const char *dir, struct volume *volume)
{
	memset(volume, 0, sizeof(*volume));
	volume->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (volume->dirfd < 0 && errno == ENOENT)
		return say_error(EXIT_PATH, "There is no directory %s; make it first.",
				 dir);
	if (volume->dirfd < 0 || !realpath(dir, volume->path)) {
		int rc = -errno;

		volume_close(volume);
		return say_error(say_code(rc), "Cannot open the directory %s: %s.", dir,
				 strerror(-rc));
	}
	return 0;
}

static int load_header(const char *dir, struct volume *volume)
{
	char why[320] = "";
	int rc = header_load(volume->dirfd, &volume->header, why, sizeof(why));

	if (rc == 0)
		return 0;
	volume_close(volume);
	if (rc == -ENOENT)
		return say_error(
			EXIT_INVALID,
			"%s is not an hsmfs volume: %s; hsmsetup luksFormat makes "
			"one.",
			dir, why);
	/* ENOTDIR and the like would read as a wrong path, which it is not. */
	return say_error(say_code(rc) == EXIT_PATH ? EXIT_INVALID : say_code(rc),
			 "Cannot use the volume %s: %s.", dir, why);
}

int volume_open(const char *dir, struct volume *volume)
{
	int code = volume_open_directory(dir, volume);

	return code ? code : load_header(dir, volume);
}

int volume_lock(struct volume *volume, bool shared)
{
	int lock =
		shared ? header_lock_shared(volume->dirfd) : header_lock(volume->dirfd);

	if (lock == -EBUSY)
		return busy_refuse(volume->path);
	if (lock < 0)
		return say_error(say_code(lock), "Cannot lock the volume %s: %s.",
				 volume->path, strerror(-lock));
	volume->lock = lock;
	return 0;
}

int volume_open_locked(const char *dir, struct volume *volume)
{
	int code = volume_open(dir, volume);

	if (code)
		return code;
	code = volume_lock(volume, false);
	if (code) {
		volume_close(volume);
		return code;
	}
	header_fini(&volume->header);
	return load_header(dir, volume);
}

void volume_close(struct volume *volume)
{
	hsm_disconnect(volume->hsm);
	volume->hsm = NULL;
	header_fini(&volume->header);
	if (volume->dirfd >= 0)
		close(volume->dirfd);
	volume->dirfd = -1;
	/* (standard input is 0) */
	if (volume->lock > 0)
		close(volume->lock);
	volume->lock = 0;
}

int volume_connect(struct volume *volume)
{
	char why[320] = "";
	int rc = hsm_connect(1, &volume->hsm, why, sizeof(why));

	if (rc == 0)
		rc = hsm_tokens(volume->hsm, &volume->tokens);
	if (rc == 0)
		return 0;
	if (!*why)
		snprintf(why, sizeof(why), "%s", strerror(-rc));
	/* A wrong path or a busy file here is none of the user's. */
	return say_error(say_code(rc) <= EXIT_MEMORY ? say_code(rc) : EXIT_INVALID,
			 "Cannot reach the HSM: %s%s", why,
			 strchr(".?", why[strlen(why) - 1]) ? "" : ".");
}

/* --- slots ----------------------------------------------------------------------- */

static bool serves(const struct volume *volume, unsigned nr)
{
	const uint8_t *wanted = volume->header.slots[nr].tpm_name;

	if (!volume->header.used[nr] || volume->header.kinds[nr] == HEADER_FOREIGN ||
	    volume->passed_over >> nr & 1)
		return false;
	for (uint32_t i = 0; i < volume->tokens.nr_tokens; i++)
		if (memcmp(wanted, volume->tokens.tokens[i].tpm_name,
			   KEYSLOT_TPM_NAME_BYTES) == 0)
			return true;
	return false;
}

static void short_name(const uint8_t name[KEYSLOT_TPM_NAME_BYTES],
		       char text[2 * TPM_NAME_SHOWN + 1])
{
	hex_encode(name + TPM_NAME_PREFIX, TPM_NAME_SHOWN, text);
}

static bool serves_any(const struct volume *volume)
{
	for (unsigned nr = 0; nr < KEYSLOT_COUNT; nr++) {
		if (serves(volume, nr))
			return true;
	}
	return false;
}

/* Appends @name's beginning to the list in @text unless it is there. */
static void list_name(char *text, size_t len, const uint8_t *name, const char *kind)
{
	char hex[2 * TPM_NAME_SHOWN + 1];
	size_t used = strlen(text);

	short_name(name, hex);
	if (!strstr(text, hex))
		snprintf(text + used, len - used, "%s%s%s%s%s", used ? ", " : "", hex,
			 kind ? " (" : "", kind ? kind : "", kind ? ")" : "");
}

/* Says which TPMs the volume wants and which are here, when no slot matches. */
static int check_token(const struct volume *volume)
{
	char wanted[KEYSLOT_COUNT * (2 * TPM_NAME_SHOWN + 3)] = "";
	char here[WIRE_TOKENS_MAX * (2 * TPM_NAME_SHOWN + WIRE_NAME_BYTES + 5)] = "";

	for (unsigned nr = 0; nr < KEYSLOT_COUNT; nr++) {
		if (serves(volume, nr))
			return 0;
		if (volume->header.used[nr] && volume->header.kinds[nr] != HEADER_FOREIGN)
			list_name(wanted, sizeof(wanted),
				  volume->header.slots[nr].tpm_name, NULL);
	}
	if (!*wanted)
		return say_error(EXIT_DENIED,
				 "%s has no key slot that this version can use.",
				 volume->path);
	for (uint32_t i = 0; i < volume->tokens.nr_tokens; i++)
		list_name(here, sizeof(here), volume->tokens.tokens[i].tpm_name,
			  volume->tokens.tokens[i].kind);
	return say_error(
		EXIT_DENIED,
		"No key slot of %s belongs to this HSM: it has the TPM %s and "
		"the volume wants %s; use the HSM state or the machine that it was "
		"made with.",
		volume->path, here, wanted);
}

/* How much a slot's refusal says: one that says more hides the others. */
static int weight(int rc)
{
	static const int by_weight[] = {-ENOENT, -ENXIO, -EKEYREJECTED, -ESTALE,
					-EBADMSG};
	int nr = sizeof(by_weight) / sizeof(*by_weight);

	while (--nr >= 0 && by_weight[nr] != rc)
		;
	return nr;
}

/*
 * Tries the slots of @kind in turn. -ENOENT when there is none; else the refusal that
 * says most, or the error that makes it useless to try others.
 */
static int try_slots(struct volume *volume, enum header_kind kind, const void *pass,
		     size_t len, uint32_t *detail)
{
	int result = -ENOENT;

	for (unsigned nr = 0; nr < KEYSLOT_COUNT; nr++) {
		uint32_t of_this = 0;
		int rc;

		if (!serves(volume, nr) || volume->header.kinds[nr] != kind)
			continue;
		rc = hsm_unlock(volume->hsm, volume->header.uuid,
				&volume->header.slots[nr], pass, len, &of_this);
		if (weight(rc) < 0 || weight(rc) > weight(result)) {
			result = rc;
			*detail = of_this;
		}
		if (weight(rc) < 0)
			break;
	}
	return result;
}

/*
 * A wrong passphrase costs a try of the TPM's for every slot. So what looks like a
 * recovery key goes to recovery slots only, and what does not to the others.
 */
static int try_passphrase(struct volume *volume, const struct passphrase *pass,
			  uint32_t *detail)
{
	char *text = secmem_alloc(RECOVERY_TEXT_LEN + 1);
	int rc;

	if (!text)
		return -ENOMEM;
	rc = recovery_parse(pass->bytes, pass->len, text);
	if (rc == 1)
		rc = try_slots(volume, HEADER_RECOVERY, text, RECOVERY_TEXT_LEN, detail);
	else if (rc == 0)
		rc = try_slots(volume, HEADER_PASSPHRASE, pass->bytes, pass->len, detail);
	secmem_free(text);
	return rc;
}

/* A damaged copy of the header does not lock out who knows the passphrase. */
static int try_copies(struct volume *volume, const struct passphrase *pass,
		      uint32_t *detail)
{
	int rc = try_passphrase(volume, pass, detail);

	if (weight(rc) < 0)
		return rc;
	if (header_load_other(volume->dirfd, &volume->header) == 0) {
		rc = try_passphrase(volume, pass, detail);
		/* the next try begins with the newer copy again */
		if (rc < 0)
			header_load_other(volume->dirfd, &volume->header);
	}
	return rc;
}

static int say_changed(uint32_t pcrs)
{
	char list[4 * KEYSLOT_PCRS] = "";
	size_t len = 0;

	for (int nr = 0; nr < KEYSLOT_PCRS; nr++)
		if (pcrs >> nr & 1)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%d",
						len ? "+" : "", nr);
	return say_error(
		EXIT_DENIED,
		"The TPM has another value in PCR %s than when the key slot was made, as "
		"after a change of firmware or kernel: use another slot's passphrase or "
		"the recovery key, then make the slot anew.",
		list);
}

static int say_refusal(int rc, uint32_t detail)
{
	switch (rc) {
	case 0:
		return 0;
	case -EKEYREJECTED:
	case -ENOENT:
		return say_error(EXIT_DENIED, "No key available with this passphrase.");
	case -EINVAL:
		return say_error(EXIT_DENIED,
				 "The recovery key has a typing mistake; compare "
				 "it with what was written down.");
	case -EAGAIN:
		return say_error(
			EXIT_DENIED,
			"Too many wrong passphrases: the TPM takes the next one in "
			"%u seconds.",
			detail);
	case -ESTALE:
		return say_changed(detail);
	case -EBADMSG:
		return say_error(
			EXIT_INVALID,
			"The passphrase does not open a slot, and a key slot is "
			"damaged; try another slot's passphrase or recovery key.");
	default:
		return say_hsm_error("unlock the volume", rc);
	}
}

static int unlock_once(struct volume *volume, const struct passphrase_source *source,
		       int *rc)
{
	struct passphrase pass;
	char prompt[PATH_MAX + 32];
	uint32_t detail = 0;
	int code;

	snprintf(prompt, sizeof(prompt), "Enter passphrase for %s: ", volume->path);
	code = passphrase_read(source, prompt, false, &pass);
	if (code)
		return code;
	*rc = try_copies(volume, &pass, &detail);
	passphrase_fini(&pass);
	return say_refusal(*rc, detail);
}

int volume_unlock(struct volume *volume, const struct passphrase_source *source)
{
	char why[320] = "";
	int tries = passphrase_is_typed(source) ? TRIES : 1;
	int code = volume_connect(volume);
	int rc = 0;

	if (code)
		return code;
	/* Without effect when both copies have the same slots. */
	if (!serves_any(volume))
		header_load_other(volume->dirfd, &volume->header);
	code = check_token(volume);
	if (code)
		return code;
	do {
		code = unlock_once(volume, source, &rc);
	} while (code && --tries &&
		 (rc == -EKEYREJECTED || rc == -EINVAL || rc == -ENOENT));
	if (code)
		return code;
	rc = header_verify(volume->dirfd, &volume->header, volume->hsm, why, sizeof(why));
	if (rc < 0)
		return say_error(rc == -ENOMEM ? EXIT_MEMORY : EXIT_INVALID,
				 "Cannot use the volume %s: %s.", volume->path, why);
	return 0;
}

int volume_store(struct volume *volume)
{
	int rc = header_store(volume->dirfd, &volume->header, volume->hsm);

	if (rc == 0)
		return 0;
	return say_error(say_code(rc), "Cannot write the volume header to %s: %s.",
			 volume->path, strerror(-rc));
}

static uint32_t rights(int read_only)
{
	return WIRE_MAY_OPEN | (read_only ? 0 : WIRE_MAY_SEAL);
}

static int say_no_ticket(int rc)
{
	if (rc == 0)
		return 0;
	return say_error(say_code(rc), "The HSM gives no ticket: %s.", strerror(-rc));
}

int volume_ticket_again(struct volume *volume, int read_only,
			uint8_t ticket[WIRE_TICKET_BYTES])
{
	struct wire_ticket want = {.rights = rights(read_only),
				   .flags = WIRE_KEEP_LIMITS};
	int rc = hsm_ticket(volume->hsm, &want, ticket);

	if (rc == -ENODATA) {
		say_error(0, "Note: the HSM does not know whether there were limits, as "
			     "after a restart; now there are none.");
		want.flags = 0;
		rc = hsm_ticket(volume->hsm, &want, ticket);
	}
	return say_no_ticket(rc);
}

int volume_ticket(struct volume *volume, int read_only, const struct options *options,
		  uint8_t ticket[WIRE_TICKET_BYTES])
{
	const struct wire_ticket want = {
		.rights = rights(read_only),
		.lease_s = options->lease_s,
		.idle_s = options->idle_s,
		.limit_bytes = options->limit_bytes,
		.limit_s = options->limit_s,
	};

	return say_no_ticket(hsm_ticket(volume->hsm, &want, ticket));
}
