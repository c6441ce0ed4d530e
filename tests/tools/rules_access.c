/* SPDX-License-Identifier: Apache-2.0 */
/* rules_access DIR: who may do what, and what becomes of modes and owners. */
#include <signal.h>

#include "tests/tools/rules.h"

static int umask_applies(void)
{
	umask(027);
	REQUIRE(close(open("f", O_CREAT | O_WRONLY, 0666)) == 0 && mode_of("f") == 0640);
	REQUIRE(mkdir("d", 0777) == 0 && mode_of("d") == 0750);
	REQUIRE(mkfifo("p", 0666) == 0 && mode_of("p") == 0640);
	REQUIRE(symlink("x", "l") == 0 && mode_of("l") == 0777);
	umask(0);
	REQUIRE(close(open("g", O_CREAT | O_WRONLY, 0777)) == 0 && mode_of("g") == 0777);
	return 0;
}

static int mkdir_mode(void)
{
	umask(0);
	REQUIRE(mkdir("a", 0) == 0 && mode_of("a") == 0);
	REQUIRE(mkdir("b", 01777) == 0 && mode_of("b") == 01777);
	REQUIRE(mkdir("c", 06755) == 0 && mode_of("c") == 0755);
	REQUIRE(mkdir("d", 0511) == 0 && mode_of("d") == 0511);
	return 0;
}

static int create_special_bits(void)
{
	umask(0);
	REQUIRE(close(open("f", O_CREAT | O_WRONLY, 04755)) == 0 &&
		mode_of("f") == 04755);
	REQUIRE(close(open("g", O_CREAT | O_WRONLY, 02755)) == 0 &&
		mode_of("g") == 02755);
	REQUIRE(close(open("s", O_CREAT | O_WRONLY, 01644)) == 0 &&
		mode_of("s") == 01644);
	REQUIRE(chmod("f", 07777) == 0 && mode_of("f") == 07777);
	return 0;
}

static int open_classes_other(void)
{
	REQUIRE_ERROR(open("o600", O_RDONLY), EACCES);
	REQUIRE_ERROR(open("o644", O_WRONLY), EACCES);
	REQUIRE_ERROR(open("o644", O_RDWR), EACCES);
	REQUIRE(open("o644", O_RDONLY) >= 0 && open("o606", O_RDWR) >= 0);
	/* the class is chosen first: a group member has the group's rights only */
	REQUIRE_ERROR(open("g604", O_RDONLY), EACCES);
	REQUIRE_ERROR(open("u077", O_RDONLY), EACCES);
	REQUIRE_ERROR(truncate("o644", 0), EACCES);
	REQUIRE(access("o644", R_OK) == 0);
	REQUIRE_ERROR(access("o644", W_OK), EACCES);
	REQUIRE_ERROR(access("o644", X_OK), EACCES);
	return 0;
}

static int open_classes(void)
{
	REQUIRE(!put("o600", "x", 0600) && !put("o644", "x", 0644) &&
		!put("o606", "x", 0606));
	REQUIRE(!put("g604", "x", 0604) && chown("g604", 0, OTHER_GID) == 0);
	REQUIRE(!put("u077", "x", 0077) && chown("u077", OTHER_UID, 0) == 0);
	return as_other(open_classes_other);
}

static int root_overrides(void)
{
	REQUIRE(!put("f", "x", 0) && chown("f", OTHER_UID, OTHER_GID) == 0);
	REQUIRE(has("f", "x") && !put("f", "y", 0));
	REQUIRE(mkdir("d", 0) == 0 && chown("d", OTHER_UID, OTHER_GID) == 0);
	REQUIRE(!put("d/f", "x", 0600) && has("d/f", "x"));
	REQUIRE_ERROR(access("f", X_OK), EACCES);
	return 0;
}

static int directory_rights(void)
{
	REQUIRE(mkdir("d", 0777) == 0 && !put("d/f", "x", 0666));
	REQUIRE(chmod("d", 0666) == 0);
	REQUIRE_ERROR(open("d/f", O_RDONLY), EACCES);
	REQUIRE_ERROR(access("d/f", F_OK), EACCES);
	REQUIRE(chmod("d", 0555) == 0);
	REQUIRE_ERROR(open("d/new", O_CREAT | O_WRONLY, 0600), EACCES);
	REQUIRE_ERROR(mkdir("d/new", 0700), EACCES);
	REQUIRE_ERROR(symlink("x", "d/new"), EACCES);
	REQUIRE_ERROR(mkfifo("d/new", 0600), EACCES);
	REQUIRE_ERROR(link("d/f", "d/new"), EACCES);
	REQUIRE_ERROR(rename("d/f", "d/g"), EACCES);
	REQUIRE_ERROR(unlink("d/f"), EACCES);
	REQUIRE(has("d/f", "x") && open("d/f", O_CREAT | O_RDWR, 0600) >= 0);
	REQUIRE(chmod("d", 0333) == 0);
	REQUIRE_ERROR(open("d", O_RDONLY | O_DIRECTORY), EACCES);
	REQUIRE(has("d/f", "x") && !put("d/new", "x", 0600) && unlink("d/new") == 0);
	REQUIRE(rename("d/f", "d/g") == 0 && unlink("d/g") == 0);
	REQUIRE(chmod("d", 0) == 0 && rmdir("d") == 0);
	return 0;
}

static int rename_directory_rights(void)
{
	REQUIRE(mkdir("a", 0777) == 0 && mkdir("b", 0777) == 0 &&
		mkdir("a/d", 0555) == 0);
	REQUIRE(rename("a/d", "a/e") == 0);
	/* ".." in it would change */
	REQUIRE_ERROR(rename("a/e", "b/e"), EACCES);
	REQUIRE(chmod("a/e", 0755) == 0 && rename("a/e", "b/e") == 0);
	return 0;
}

static int sticky_other(void)
{
	REQUIRE_ERROR(unlink("t/root"), EPERM);
	REQUIRE_ERROR(rename("t/root", "t/mine"), EPERM);
	REQUIRE_ERROR(rmdir("t/rootdir"), EPERM);
	REQUIRE(!put("t/new", "x", 0600));
	REQUIRE_ERROR(rename("t/new", "t/root"), EPERM);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "t/new", AT_FDCWD, "t/root", RENAME_EXCHANGE),
		      EPERM);
	REQUIRE(unlink("t/new") == 0 && unlink("t/mine") == 0);
	/* the directory's owner may */
	REQUIRE(unlink("own/root") == 0);
	return 0;
}

static int sticky(void)
{
	REQUIRE(mkdir("t", 0777) == 0 && chmod("t", 01777) == 0 &&
		mkdir("own", 0777) == 0);
	REQUIRE(chmod("own", 01777) == 0 && chown("own", OTHER_UID, 0) == 0);
	REQUIRE(!put("t/root", "x", 0666) && !put("t/mine", "x", 0600) &&
		!put("own/root", "x", 0600) && mkdir("t/rootdir", 0777) == 0);
	REQUIRE(chown("t/mine", OTHER_UID, 0) == 0);
	return as_other(sticky_other);
}

static int new_owner_other(void)
{
	struct stat st;

	REQUIRE(!put("f", "x", 0600) && stat("f", &st) == 0);
	REQUIRE(st.st_uid == OTHER_UID && st.st_gid == OTHER_GID);
	REQUIRE(mkdir("d", 0700) == 0 && stat("d", &st) == 0 && st.st_uid == OTHER_UID);
	REQUIRE(symlink("x", "l") == 0 && lstat("l", &st) == 0 && st.st_uid == OTHER_UID);
	REQUIRE(mkfifo("p", 0700) == 0 && stat("p", &st) == 0 && st.st_gid == OTHER_GID);
	return 0;
}

static int new_owner(void)
{
	return as_other(new_owner_other);
}

static int setgid_directory_other(void)
{
	struct stat st;

	REQUIRE(!put("sg/f", "x", 0600) && stat("sg/f", &st) == 0 && st.st_gid == 777);
	REQUIRE(st.st_uid == OTHER_UID);
	REQUIRE(mkdir("sg/d", 0755) == 0 && stat("sg/d", &st) == 0 && st.st_gid == 777);
	REQUIRE((st.st_mode & 07777) == 02755);
	REQUIRE(symlink("x", "sg/l") == 0 && lstat("sg/l", &st) == 0 && st.st_gid == 777);
	/* nobody gets a set-group-id program of a group he is not in */
	REQUIRE(close(open("sg/x", O_CREAT | O_WRONLY, 02755)) == 0 &&
		mode_of("sg/x") == 0755);
	REQUIRE(chmod("sg/f", 02755) == 0 && mode_of("sg/f") == 0755);
	return 0;
}

static int setgid_directory(void)
{
	REQUIRE(mkdir("sg", 0777) == 0 && chown("sg", 0, 777) == 0 &&
		chmod("sg", 02777) == 0);
	return as_other(setgid_directory_other);
}

static int setgid_inherited(void)
{
	REQUIRE(mkdir("d", 0755) == 0 && chmod("d", 02755) == 0 &&
		mkdir("d/e", 0711) == 0);
	REQUIRE(mode_of("d/e") == 02711 && !put("d/f", "x", 0644) &&
		mode_of("d/f") == 0644);
	return 0;
}

static int chown_rules_other(void)
{
	REQUIRE_ERROR(chown("root", OTHER_UID, (gid_t)-1), EPERM);
	REQUIRE_ERROR(chown("mine", 0, (gid_t)-1), EPERM);
	REQUIRE_ERROR(chown("mine", (uid_t)-1, 777), EPERM);
	REQUIRE(chown("mine", (uid_t)-1, OTHER_GID) == 0 &&
		chown("mine", OTHER_UID, -1) == 0);
	REQUIRE_ERROR(chmod("root", 0777), EPERM);
	REQUIRE(chmod("mine", 0604) == 0 && mode_of("mine") == 0604);
	REQUIRE_ERROR(lchown("link", OTHER_UID, -1), EPERM);
	return 0;
}

static int chown_rules(void)
{
	struct stat st;

	REQUIRE(!put("root", "x", 0666) && !put("mine", "x", 0600) &&
		symlink("mine", "link") == 0);
	REQUIRE(chown("mine", OTHER_UID, 888) == 0);
	REQUIRE(as_other(chown_rules_other) == 0);
	REQUIRE(lchown("link", 5, 6) == 0 && lstat("link", &st) == 0 && st.st_uid == 5 &&
		st.st_gid == 6);
	REQUIRE(stat("mine", &st) == 0 && st.st_uid == OTHER_UID &&
		st.st_gid == OTHER_GID);
	return 0;
}

/* Files that are to lose their bits, and those that are not. */
static int make_set_id(void)
{
	REQUIRE(!put("u", "text", 04777) && !put("g", "text", 02777) &&
		!put("ug", "text", 06777));
	REQUIRE(!put("lock", "text", 02767)); /* not executable for the group: stays */
	return 0;
}

static int chown_kills(void)
{
	REQUIRE(make_set_id() == 0 && mkdir("d", 0777) == 0 && chmod("d", 06777) == 0);
	REQUIRE(chown("u", getuid(), -1) == 0 && mode_of("u") == 0777);
	REQUIRE(chown("g", -1, getgid()) == 0 && mode_of("g") == 0777);
	REQUIRE(chown("ug", getuid(), getgid()) == 0 && mode_of("ug") == 0777);
	REQUIRE(chown("lock", getuid(), getgid()) == 0 && mode_of("lock") == 02767);
	REQUIRE(chown("d", getuid(), getgid()) == 0 && mode_of("d") == 06777);
	return 0;
}

static int append_to(const char *path, int flags)
{
	void *buf;
	int fd = open(path, O_WRONLY | flags);
	ssize_t n;

	if (fd < 0 || posix_memalign(&buf, 4096, 4096))
		return -1;
	memset(buf, 'x', 4096);
	n = write(fd, buf, flags & O_DIRECT ? 4096 : 1);
	free(buf);
	return close(fd) || n < 1 ? -1 : 0;
}

static int write_kills_part(void)
{
	REQUIRE(append_to("u", 0) == 0 && mode_of("u") == 0777);
	REQUIRE(append_to("g", 0) == 0 && mode_of("g") == 0777);
	REQUIRE(append_to("ug", O_DIRECT) == 0 && mode_of("ug") == 0777);
	return 0;
}

static int write_kills_own(void)
{
	REQUIRE(make_set_id() == 0 && write_kills_part() == 0);
	REQUIRE(append_to("lock", 0) == 0 && mode_of("lock") == 02767);
	return 0;
}

static int write_kills(void)
{
	return make_set_id() || as_other(write_kills_part);
}

static int truncate_kills_part(void)
{
	REQUIRE(truncate("u", 2) == 0 && mode_of("u") == 0777);
	REQUIRE(close(open("g", O_WRONLY | O_TRUNC)) == 0 && mode_of("g") == 0777);
	REQUIRE(truncate("ug", 100) == 0 && mode_of("ug") == 0777);
	return 0;
}

static int truncate_kills_own(void)
{
	REQUIRE(make_set_id() == 0 && truncate_kills_part() == 0);
	REQUIRE(truncate("lock", 100) == 0 && mode_of("lock") == 02767);
	return 0;
}

static int truncate_kills(void)
{
	return make_set_id() || as_other(truncate_kills_part);
}

static int space_kills_part(void)
{
	static const char *const names[] = {"u", "g", "ug"};
	static const int modes[] = {0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE};

	for (int i = 0; i < 3; i++) {
		int fd = open(names[i], O_RDWR);

		REQUIRE(fd >= 0 && mode_of(names[i]) > 0777);
		REQUIRE(fallocate(fd, modes[i], 1, 20000) == 0);
		REQUIRE(mode_of(names[i]) == 0777 && close(fd) == 0);
	}
	return 0;
}

static int space_kills_own(void)
{
	return make_set_id() || space_kills_part();
}

static int space_kills(void)
{
	return make_set_id() || as_other(space_kills_part);
}

static int root_writes_keep(void)
{
	REQUIRE(make_set_id() == 0 && append_to("u", 0) == 0 && mode_of("u") == 04777);
	REQUIRE(truncate("g", 1) == 0 && mode_of("g") == 02777);
	REQUIRE(append_to("ug", O_DIRECT) == 0 && mode_of("ug") == 06777);
	return 0;
}

static int times_other(void)
{
	struct timespec set[2] = {{1000, 0}, {2000, 0}},
			now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};

	REQUIRE(utimensat(AT_FDCWD, "w", NULL, 0) == 0 &&
		utimensat(AT_FDCWD, "w", now, 0) == 0);
	REQUIRE_ERROR(utimensat(AT_FDCWD, "w", set, 0), EPERM);
	REQUIRE_ERROR(utimensat(AT_FDCWD, "r", NULL, 0), EACCES);
	REQUIRE_ERROR(open("w", O_RDONLY | O_NOATIME), EPERM);
	return 0;
}

static int times_rights(void)
{
	REQUIRE(!put("w", "x", 0666) && !put("r", "x", 0644));
	return as_other(times_other);
}

static int descriptor_outlives_mode(void)
{
	char c;
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	REQUIRE(fd >= 0 && fchmod(fd, 0) == 0 && write(fd, "x", 1) == 1);
	REQUIRE(pread(fd, &c, 1, 0) == 1 && ftruncate(fd, 0) == 0 && close(fd) == 0);
	REQUIRE(open("none", O_RDWR | O_CREAT | O_EXCL, 0) >= 0);
	/* may be written to, but not read */
	REQUIRE(!put("w", "old text", 0200) && append_to("w", 0) == 0);
	REQUIRE(chmod("w", 0400) == 0 && has("w", "xld text") && mode_of("w") == 0400);
	return 0;
}

static int exec_rights(void)
{
	char *argv[] = {"./p", NULL};
	int status;

	REQUIRE(!put("p", "#!/bin/sh\nexit 7\n", 0644));
	REQUIRE_ERROR(execv("./p", argv), EACCES);
	REQUIRE(chmod("p", 0755) == 0);
	if (fork() == 0)
		_exit(execv("./p", argv));
	REQUIRE(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	return 0;
}

static int text_busy(void)
{
	char *argv[] = {"./sleep", "5", NULL};
	pid_t pid;
	int fd;

	REQUIRE(system("cp /bin/sleep sleep") == 0);
	fd = open("sleep", O_WRONLY);
	REQUIRE_ERROR(execv("./sleep", argv), ETXTBSY);
	REQUIRE(close(fd) == 0);
	pid = fork();
	if (pid == 0)
		_exit(execv("./sleep", argv));
	nap(), nap(), nap(), nap(), nap();
	REQUIRE_ERROR(open("sleep", O_WRONLY), ETXTBSY);
	REQUIRE(kill(pid, 9) == 0 && waitpid(pid, NULL, 0) == pid);
	return 0;
}

static int group_set(void)
{
	gid_t groups[] = {700, 701};
	struct stat st;

	REQUIRE(!put("f", "x", 0640) && chown("f", OTHER_UID, 701) == 0);
	REQUIRE(!put("g", "x", 0640) && chown("g", 0, 701) == 0);
	REQUIRE(setgroups(2, groups) == 0 &&
		setresgid(OTHER_GID, OTHER_GID, OTHER_GID) == 0 &&
		setresuid(OTHER_UID, OTHER_UID, OTHER_UID) == 0);
	REQUIRE(has("g", "x"));
	REQUIRE_ERROR(open("g", O_WRONLY), EACCES);
	REQUIRE(chown("f", -1, 700) == 0 && stat("f", &st) == 0 && st.st_gid == 700);
	REQUIRE(chmod("f", 02755) == 0 && mode_of("f") == 02755);
	return 0;
}

static const struct rule rules[] = {
	{"umask applies to all that is made", umask_applies, 0},
	{"mkdir gives the mode asked for", mkdir_mode, 0},
	{"open gives set-id bits asked for", create_special_bits, 0},
	{"owner, group, others: the first that fits", open_classes, RULE_ROOT},
	{"supplementary groups count", group_set, RULE_ROOT},
	{"root needs no permission but x", root_overrides, RULE_ROOT},
	{"rwx of a directory", directory_rights, RULE_USER},
	{"moving a directory needs w on it", rename_directory_rights, RULE_USER},
	{"sticky directories", sticky, RULE_ROOT},
	{"what is made belongs to its maker", new_owner, RULE_ROOT},
	{"set-group-id directories give their group", setgid_directory, RULE_ROOT},
	{"set-group-id is inherited by directories", setgid_inherited, 0},
	{"who may chown and chmod", chown_rules, RULE_ROOT},
	{"chown takes set-id bits", chown_kills, 0},
	{"writing takes set-id bits", write_kills, RULE_ROOT},
	{"writing takes one's own set-id bits", write_kills_own, RULE_USER},
	{"truncating takes set-id bits", truncate_kills, RULE_ROOT},
	{"truncating takes one's own set-id bits", truncate_kills_own, RULE_USER},
	{"fallocate takes set-id bits", space_kills, RULE_ROOT},
	{"fallocate takes one's own set-id bits", space_kills_own, RULE_USER},
	{"root's writes leave set-id bits", root_writes_keep, RULE_ROOT},
	{"who may set times", times_rights, RULE_ROOT},
	{"a descriptor outlives permissions", descriptor_outlives_mode, RULE_USER},
	{"programs need x to be run", exec_rights, 0},
	{"a running program cannot be written to", text_busy, 0},
};

RULES_MAIN(rules)
