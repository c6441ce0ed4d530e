/* SPDX-License-Identifier: Apache-2.0 */
/* luksSuspend: write back, forget everything in clear, wipe the keys; I/O waits. */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "fs/volume/mountctl.h"
#include "mkfs/cmd.h"
#include "mkfs/control.h"
#include "mkfs/mounts.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

static int suspend(const char *path)
{
	json_t *reply;
	int code =
		control_call(path, control_request("suspend"), CONTROL_SLOW_MS, &reply);

	if (code == 0)
		json_decref(reply);
	return code;
}

static bool says(const json_t *status, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(status, key));

	return value && strcmp(value, text) == 0;
}

struct search {
	const char *directory;
	int code;
};

static void suspend_if_of(const json_t *status, void *arg)
{
	struct search *search = arg;
	const char *path = json_string_value(json_object_get(status, "mountpoint"));
	int code = 0;

	if (path && says(status, "directory", search->directory) &&
	    says(status, "state", "active"))
		code = suspend(path);
	if (search->code == 0)
		search->code = code;
}

/*
 * Who serves a mount point that was moved since, along with a directory above it, listens
 * by its old name.
 */
static int suspend_moved(const char *directory)
{
	struct search search = {.directory = directory};
	json_t *request = control_request("status");
	int rc = -ENOMEM;

	if (request)
		rc = mountctl_call_all(request, CONTROL_QUICK_MS, suspend_if_of, &search);
	json_decref(request);
	return rc < 0 ? control_say(directory, rc) : search.code;
}

/* Another user's has no socket here. What does not answer is not waited for twice. */
static int suspend_unless_done(const char *path, const struct mount_entry *entry)
{
	json_t *request = control_request("status"), *status = NULL;
	int rc = request ? mountctl_call(path, request, CONTROL_QUICK_MS, &status)
			 : -ENOMEM;
	bool done =
		rc == -ECONNREFUSED || rc == -EPERM || says(status, "state", "suspended");

	json_decref(request);
	json_decref(status);
	if (done)
		return 0;
	if (rc == -ENOENT)
		return suspend_moved(entry->source);
	return rc < 0 ? control_say(path, rc) : suspend(path);
}

/* The first error is what counts; it keeps nobody else's keys from being wiped. */
static void suspend_mount(const char *path, const struct mount_entry *entry, void *arg)
{
	int *code = arg;
	int of_this = entry->is_hsmfs ? suspend_unless_done(path, entry) : 0;

	if (*code == 0)
		*code = of_this;
}

static int suspend_all(void)
{
	int code = 0;
	int rc = mounts_visit(suspend_mount, &code);

	if (rc < 0)
		return say_error(EXIT_INVALID, "Cannot list what is mounted: %s.",
				 strerror(-rc));
	return code;
}

int cmd_suspend(char *const args[], const struct options *options)
{
	char path[PATH_MAX];
	int code;

	if (options->given & OPTION_ALL)
		return suspend_all();
	code = control_require(args[0], path);
	return code ? code : suspend(path);
}
