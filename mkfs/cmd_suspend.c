/* SPDX-License-Identifier: Apache-2.0 */
/* luksSuspend: write back, forget everything in clear, wipe the keys; I/O waits. */
#include <jansson.h>

#include "mkfs/cmd.h"
#include "mkfs/control.h"
#include "mkfs/options.h"

int cmd_suspend(char *const args[], const struct options *options)
{
	char path[PATH_MAX];
	json_t *reply;
	int code = control_require(args[0], path);

	(void)options;
	if (code == 0)
		code = control_call(path, control_request("suspend"), CONTROL_SLOW_MS,
				    &reply);
	if (code)
		return code;
	json_decref(reply);
	return 0;
}
