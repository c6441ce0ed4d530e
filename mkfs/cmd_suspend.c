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

static bool is_suspended(const json_t *status)
{
	const char *state = json_string_value(json_object_get(status, "state"));

	return state && strcmp(state, "suspended") == 0;
}

/* Another user's has no socket here. What does not answer is not waited for twice. */
static int suspend_unless_done(const char *path)
{
	json_t *request = control_request("status"), *status = NULL;
	int rc = request ? mountctl_call(path, request, CONTROL_QUICK_MS, &status)
			 : -ENOMEM;
	bool done = rc == -ENOENT || rc == -ECONNREFUSED || rc == -EPERM ||
		    is_suspended(status);

	json_decref(request);
	json_decref(status);
	if (done)
		return 0;
	return rc < 0 ? control_say(path, rc) : suspend(path);
}

/* The first error is what counts; it keeps nobody else's keys from being wiped. */
static void suspend_mount(const char *path, const struct mount_entry *entry, void *arg)
{
	int *code = arg;
	int of_this = entry->is_hsmfs ? suspend_unless_done(path) : 0;

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
