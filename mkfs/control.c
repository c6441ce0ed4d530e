/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/control.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "fs/volume/mountctl.h"
#include "mkfs/mounts.h"
#include "mkfs/say.h"

int control_find(const char *mountpoint, char path[PATH_MAX])
{
	struct mount_entry entry;
	int rc = mounts_resolve(mountpoint, path);

	if (rc == 0)
		rc = mounts_find(path, &entry);
	if (rc < 0)
		return rc;
	return rc == 1 && entry.is_hsmfs ? 0 : -ENOENT;
}

int control_require(const char *mountpoint, char path[PATH_MAX])
{
	int rc = control_find(mountpoint, path);

	if (rc == 0)
		return 0;
	if (rc == -ENOENT)
		return say_error(EXIT_PATH, "No hsmfs volume is mounted on %s.",
				 mountpoint);
	return say_error(say_code(rc), "Cannot look up the mount point %s: %s.",
			 mountpoint, strerror(-rc));
}

struct json_t *control_request(const char *op)
{
	return json_pack("{s:s}", "op", op);
}

int control_say(const char *path, int rc)
{
	switch (rc) {
	case -ENOMEM:
		return say_error(EXIT_MEMORY, "Out of memory.");
	case -ENOENT:
	case -ECONNREFUSED:
	case -EPERM:
		return say_error(
			EXIT_DENIED,
			"The hsmfs that serves %s belongs to another user, was moved "
			"with a directory above it (then move it back), or has died "
			"(then hsmsetup close %s removes the mount).",
			path, path);
	case -ETIMEDOUT:
		return say_error(
			EXIT_BUSY,
			"The hsmfs that serves %s does not answer in time; try again "
			"later.",
			path);
	default:
		return say_error(EXIT_INVALID,
				 "Cannot talk to the hsmfs that serves %s: %s.", path,
				 strerror(-rc));
	}
}

int control_call(const char *path, struct json_t *request, int timeout_ms,
		 struct json_t **reply)
{
	const char *error;
	int status, rc;

	rc = request ? mountctl_call(path, request, timeout_ms, reply) : -ENOMEM;
	json_decref(request);
	if (rc < 0)
		return control_say(path, rc);
	status = (int)json_integer_value(json_object_get(*reply, "status"));
	if (status == 0)
		return 0;
	error = json_string_value(json_object_get(*reply, "error"));
	rc = say_error(say_code(status), "%s: %s", path,
		       error ? error : strerror(-status));
	json_decref(*reply);
	*reply = NULL;
	return rc;
}
