/* SPDX-License-Identifier: Apache-2.0 */
/* luksFormat: a new volume in an empty directory, all of it or nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/volume/header.h"
#include "fs/volume/name.h"
#include "hsm/api/client.h"
#include "hsm/api/secmem.h"
#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/passphrase.h"
#include "mkfs/recovery.h"
#include "mkfs/say.h"
#include "mkfs/slots.h"
#include "mkfs/store.h"
#include "mkfs/tokens.h"
#include "mkfs/volume.h"

enum {
	SLOT_PASSPHRASE = 0,
	SLOT_RECOVERY = 1,
};

/* --- what is there --------------------------------------------------------------- */

/* An open directory's first entry: 1 with it in @name, 0 when there is none, -errno. */
static int first_entry(int dirfd, char name[NAME_MAX + 1])
{
	struct dirent *entry;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (!dir) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry &&
		 (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	if (entry)
		snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
	rc = entry ? 1 : -errno;
	closedir(dir);
	return rc;
}

/* There is a .hsmfs: a volume, or what a crash left of one. */
static int refuse_volume(const struct volume *volume)
{
	struct header header;
	char why[320];
	int rc = header_load(volume->dirfd, &header, why, sizeof(why));

	header_fini(&header);
	if (rc == -ENOENT)
		return say_error(
			EXIT_BUSY,
			"%s/%s is there without a volume header, as an interrupted "
			"luksFormat leaves it; remove it and try again.",
			volume->path, NAME_VOLUME);
	return say_error(
		EXIT_BUSY,
		"%s is an hsmfs volume already; choose another directory, or delete "
		"its content yourself.",
		volume->path);
}

static int check_directory(const struct volume *volume)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int rc;

	if (fstatat(volume->dirfd, NAME_VOLUME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return refuse_volume(volume);
	rc = first_entry(volume->dirfd, name);
	if (rc > 0)
		return say_error(
			EXIT_BUSY,
			"%s is not empty (there is %s); choose an empty directory.",
			volume->path, name);
	if (rc == 0 && faccessat(volume->dirfd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		rc = -errno;
	if (rc < 0)
		return say_error(say_code(rc), "Cannot make a volume in %s: %s.",
				 volume->path, strerror(-rc));
	return store_check(volume);
}

static int check_recovery_file(const struct options *options)
{
	struct stat st;

	if (!options->recovery_file)
		return 0;
	if (options->given & OPTION_NO_RECOVERY)
		return say_error(EXIT_INVALID,
				 "--recovery-file and --no-recovery exclude each other.");
	if (lstat(options->recovery_file, &st) == 0)
		return say_error(EXIT_BUSY,
				 "The file %s is there already; name a new one for the "
				 "recovery key.",
				 options->recovery_file);
	return 0;
}

/* --- key slots ------------------------------------------------------------------- */

static int make_slots(struct volume *volume, const struct wire_add_slot *plan,
		      const struct passphrase *pass, const char *recovery)
{
	struct wire_add_slot spare = *plan;
	int code = slots_add(volume, plan, pass);

	spare.slot = SLOT_RECOVERY;
	if (code == 0 && recovery)
		code = slots_add_recovery(volume, &spare, recovery);
	return code;
}

static int make_key(struct volume *volume)
{
	int rc = header_init(&volume->header);

	if (rc == 0)
		rc = hsm_create(volume->hsm, volume->header.uuid);
	if (rc < 0)
		return say_error(say_code(rc), "The HSM cannot make a volume key: %s.",
				 strerror(-rc));
	return 0;
}

/* --- the recovery key's way out ---------------------------------------------------- */

static int write_recovery_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, RECOVERY_TEXT_LEN) != RECOVERY_TEXT_LEN ||
	    write(fd, "\n", 1) != 1 || fsync(fd) < 0)
		rc = errno ? -errno : -EIO;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0)
		unlink(path);
	return rc;
}

static int print_recovery(const char *text)
{
	int rc = say_plain(
		"Recovery key (shown once; write it down and keep it safe):\n\n  ");

	if (rc == 0)
		rc = say_plain(text);
	if (rc == 0)
		rc = say_plain(
			"\n\nIt opens the volume when the passphrase is forgotten. Like "
			"the passphrase, it\nworks only with this HSM: if the HSM's TPM "
			"or its state is lost, it does not help.\n");
	return rc;
}

/* --- on disk --------------------------------------------------------------------- */

static void remove_volume(int dirfd)
{
	static const char *const names[] = {NAME_VOLUME "/header",
					    NAME_VOLUME "/header.backup",
					    NAME_VOLUME "/spare", NAME_VOLUME "/lock"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlinkat(dirfd, names[i], 0);
	unlinkat(dirfd, NAME_VOLUME, AT_REMOVEDIR);
}

/* Makes .hsmfs with the lock and the header; 0 or -errno with nothing left. */
static int write_volume(struct volume *volume)
{
	int lock, rc;

	if (mkdirat(volume->dirfd, NAME_VOLUME, 0700) < 0)
		return -errno;
	lock = header_lock(volume->dirfd);
	rc = lock < 0 ? lock : header_store(volume->dirfd, &volume->header, volume->hsm);
	if (rc == 0 && fsync(volume->dirfd) < 0)
		rc = -errno;
	if (rc < 0)
		remove_volume(volume->dirfd);
	if (lock >= 0)
		close(lock);
	return rc;
}

/* The recovery key first: a volume whose recovery key nobody got must not be. */
static int commit(struct volume *volume, const struct options *options,
		  const char *recovery)
{
	const char *file = options->recovery_file;
	int rc = recovery && file ? write_recovery_file(file, recovery) : 0;

	if (rc < 0)
		return say_error(say_code(rc), "Cannot write the recovery key to %s: %s.",
				 file, strerror(-rc));
	rc = write_volume(volume);
	if (rc < 0) {
		if (recovery && file)
			unlink(file);
		return say_error(say_code(rc),
				 "Cannot write the volume header to %s: %s.",
				 volume->path, strerror(-rc));
	}
	if (recovery && !file) {
		rc = print_recovery(recovery);
		if (rc < 0) {
			remove_volume(volume->dirfd);
			return say_error(
				EXIT_INVALID,
				"Cannot print the recovery key: %s; no volume was "
				"made.",
				strerror(-rc));
		}
	}
	return 0;
}

/* With signals held back, so that an interrupt leaves all or nothing. */
static int commit_whole(struct volume *volume, const struct options *options,
			const char *recovery)
{
	sigset_t set, old;
	int code;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, &old);
	code = commit(volume, options, recovery);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return code;
}

/* --- the command ----------------------------------------------------------------- */

static int make_volume(struct volume *volume, const struct options *options,
		       struct wire_add_slot *plan, const struct passphrase *pass)
{
	char *recovery = NULL;
	int rc, code = volume_connect(volume);

	if (code == 0)
		code = token_choose(volume, options->token, plan->tpm_name);
	if (code)
		return code;
	if (!(options->given & OPTION_NO_RECOVERY)) {
		recovery = secmem_alloc(RECOVERY_TEXT_LEN + 1);
		rc = recovery ? recovery_make(recovery) : -ENOMEM;
		if (rc < 0)
			code = say_error(say_code(rc), "Cannot make a recovery key: %s.",
					 strerror(-rc));
	}
	if (code == 0)
		code = make_key(volume);
	if (code == 0)
		code = make_slots(volume, plan, pass, recovery);
	if (code == 0)
		code = commit_whole(volume, options, recovery);
	secmem_free(recovery);
	return code;
}

int cmd_format(char *const args[], const struct options *options)
{
	struct wire_add_slot plan = {.slot = SLOT_PASSPHRASE};
	struct passphrase pass = {0};
	struct volume volume;
	char prompt[PATH_MAX + 32];
	int code = volume_open_directory(args[0], &volume);

	if (code)
		return code;
	code = check_directory(&volume);
	if (code == 0)
		code = check_recovery_file(options);
	if (code == 0)
		code = slots_plan(options, &plan); /* before anybody types anything */
	snprintf(prompt, sizeof(prompt), "Enter passphrase for %s: ", volume.path);
	if (code == 0)
		code = passphrase_read_new(&options->key, prompt,
					   options->given & OPTION_BATCH, &pass);
	if (code == 0)
		code = make_volume(&volume, options, &plan, &pass);
	passphrase_fini(&pass);
	volume_close(&volume);
	return code;
}
