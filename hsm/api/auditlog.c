/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "hsm/api/auditlog.h"

void auditlog_name(unsigned number, char name[AUDITLOG_NAME_BYTES])
{
	snprintf(name, AUDITLOG_NAME_BYTES, "audit.%u.jsonl", number);
}

unsigned auditlog_number(const char *name)
{
	char same[AUDITLOG_NAME_BYTES];
	unsigned number;

	if (sscanf(name, "audit.%9u.jsonl", &number) != 1)
		return 0;
	auditlog_name(number, same);
	return strcmp(name, same) == 0 ? number : 0;
}
