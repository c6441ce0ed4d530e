/* SPDX-License-Identifier: Apache-2.0 */
/* isLuks: says nothing but by its exit code. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/volume/header.h"
#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

int cmd_is_volume(char *const args[], const struct options *options)
{
	struct header header;
	char why[320];
	int fd = open(args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	(void)options;
	if (fd < 0)
		return EXIT_INVALID;
	rc = header_load(fd, &header, why, sizeof(why));
	header_fini(&header);
	close(fd);
	/* One that needs a later version is a volume all the same. */
	return rc == 0 || rc == -ENOTSUP ? 0 : EXIT_INVALID;
}
