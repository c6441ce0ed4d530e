/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/killed.h"

#include <signal.h>
#include <stdio.h>

/* proc(5): the thread's own pending signals, and those of its process. */
bool killed_is_dying(pid_t pid)
{
	unsigned long long pending, all = 0;
	char path[32], line[128];
	FILE *status;

	if (pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	if (!status)
		return false;
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "SigPnd: %llx", &pending) == 1 ||
		    sscanf(line, "ShdPnd: %llx", &pending) == 1)
			all |= pending;
	fclose(status);
	return all >> (SIGKILL - 1) & 1;
}
