/* SPDX-License-Identifier: Apache-2.0 */
/* luksResume: unlock the volume anew and hand a ticket to the hsmfs that waits. */
#include <string.h>

#include <jansson.h>

#include "fs/volume/hex.h"
#include "hsm/api/secmem.h"
#include "mkfs/cmd.h"
#include "mkfs/control.h"
#include "mkfs/mounts.h"
#include "mkfs/options.h"
#include "mkfs/say.h"
#include "mkfs/volume.h"

/*
 * Of the same volume, still where it was when it was mounted. Where that is, the kernel
 * is asked: an hsmfs that was taken over must not get a ticket for another volume.
 */
static int open_same_volume(const char *path, const json_t *status, struct volume *volume)
{
	const char *uuid = json_string_value(json_object_get(status, "uuid"));
	struct mount_entry entry;
	char found[37];
	int code;

	if (!uuid || mounts_find(path, &entry) != 1)
		return say_error(EXIT_INVALID,
				 "The hsmfs that serves %s does not name its volume.",
				 path);
	code = volume_open(entry.source, volume);
	if (code)
		return code;
	header_uuid_text(volume->header.uuid, found);
	if (strcmp(found, uuid) == 0)
		return 0;
	volume_close(volume);
	return say_error(
		EXIT_INVALID,
		"%s now has the volume %s, but %s is mounted on %s; put that one "
		"back.",
		entry.source, found, uuid, path);
}

/* jansson does not wipe what it frees. */
static json_t *make_ticket_value(const uint8_t ticket[WIRE_TICKET_BYTES])
{
	char *text = secmem_alloc(2 * WIRE_TICKET_BYTES + 1);
	json_t *value = NULL;

	if (text) {
		hex_encode(ticket, WIRE_TICKET_BYTES, text);
		value = json_string(text);
	}
	secmem_free(text);
	return value;
}

static int send_ticket(const char *path, const uint8_t ticket[WIRE_TICKET_BYTES])
{
	json_t *value = make_ticket_value(ticket);
	json_t *request = control_request("resume");
	json_t *reply;
	int code;

	if (!value || json_object_set(request, "ticket", value) < 0) {
		json_decref(request);
		request = NULL; /* which control_call() reports */
	}
	code = control_call(path, request, CONTROL_SLOW_MS, &reply);
	if (value)
		secmem_wipe((void *)json_string_value(value), json_string_length(value));
	json_decref(value);
	if (code == 0)
		json_decref(reply);
	return code;
}

static int unlock_and_resume(const char *path, struct volume *volume, int read_only,
			     const struct options *options)
{
	uint8_t *ticket = secmem_alloc(WIRE_TICKET_BYTES);
	int code;

	if (!ticket)
		return say_error(EXIT_MEMORY, "No memory that can be locked is left; see "
					      "ulimit -l.");
	code = volume_unlock(volume, &options->key);
	if (code == 0 && options->given & OPTIONS_LEASE)
		code = volume_ticket(volume, read_only, options, ticket);
	else if (code == 0)
		code = volume_ticket_again(volume, read_only, ticket);
	if (code == 0)
		code = send_ticket(path, ticket);
	secmem_free(ticket);
	return code;
}

static int check_suspended(const char *path, const json_t *status)
{
	const char *state = json_string_value(json_object_get(status, "state"));

	if (state && strcmp(state, "suspended") == 0)
		return 0;
	return say_error(EXIT_INVALID, "%s is not suspended; there is nothing to resume.",
			 path);
}

int cmd_resume(char *const args[], const struct options *options)
{
	char path[PATH_MAX];
	struct volume volume;
	json_t *status = NULL;
	int code = control_require(args[0], path);

	if (code == 0)
		code = control_call(path, control_request("status"), CONTROL_QUICK_MS,
				    &status);
	if (code)
		return code;
	code = check_suspended(path, status);
	if (code == 0)
		code = open_same_volume(path, status, &volume);
	if (code == 0) {
		int read_only = json_is_true(json_object_get(status, "read_only"));

		code = unlock_and_resume(path, &volume, read_only, options);
		volume_close(&volume);
	}
	json_decref(status);
	return code;
}
