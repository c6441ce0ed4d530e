/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of hsmsetup. Each returns an exit code, having said why. */
#ifndef MKFS_CMD_H
#define MKFS_CMD_H

struct options;

int cmd_format(char *const args[], const struct options *options);
int cmd_open(char *const args[], const struct options *options);
int cmd_close(char *const args[], const struct options *options);
int cmd_status(char *const args[], const struct options *options);
int cmd_suspend(char *const args[], const struct options *options);
int cmd_resume(char *const args[], const struct options *options);
int cmd_is_volume(char *const args[], const struct options *options);
int cmd_dump(char *const args[], const struct options *options);
int cmd_add_key(char *const args[], const struct options *options);
int cmd_kill_slot(char *const args[], const struct options *options);
int cmd_token(char *const args[], const struct options *options);
int cmd_audit(char *const args[], const struct options *options);
int cmd_uuid(char *const args[], const struct options *options);
int cmd_benchmark(char *const args[], const struct options *options);

/* mount.hsmfs: what mount(8) runs, with its command line and exit codes. */
int mount_helper(int argc, char *argv[]);

#endif
