/* SPDX-License-Identifier: Apache-2.0 */
/* luksUUID: prints the volume's UUID. */
#include <stdio.h>

#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/volume.h"

int cmd_uuid(char *const args[], const struct options *options)
{
	struct volume volume;
	char text[37];
	int code = volume_open(args[0], &volume);

	(void)options;
	if (code)
		return code;
	header_uuid_text(volume.header.uuid, text);
	puts(text);
	volume_close(&volume);
	return 0;
}
