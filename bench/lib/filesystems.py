# SPDX-License-Identifier: Apache-2.0
"""The file systems that are compared: how each is made, mounted and unmounted."""

import json
import os
import re
import shutil
import subprocess
import time

from process import Failed, kill_group, read, run, stop, wait_gone

PASSPHRASE = "benchmark"
MOUNT_TIMEOUT = 60


def connection_of(mountpoint):
    """The number below /sys/fs/fuse/connections, asked of nobody who could hang."""
    for line in read("/proc/self/mountinfo").splitlines():
        fields = line.split()
        if fields[4] == mountpoint:
            return fields[2].partition(":")[2]
    return None


class FileSystem:
    """A plain directory; the others add a daemon. @pids are all daemons' processes."""

    name = "native"
    program = None

    def __init__(self, folder, bin_dir):
        self.folder = os.path.join(folder, self.name)
        self.bin = bin_dir
        self.backing = os.path.join(self.folder, "backing")
        self.mnt = os.path.join(self.folder, "mnt")
        self.key = os.path.join(self.folder, "key")
        self.pids = []

    @classmethod
    def installed(cls, _bin_dir):
        return cls.program is None or shutil.which(cls.program) is not None

    def version(self):
        return os.uname().release

    def make(self):
        """Everything anew: an empty file system, mounted."""
        for path in (self.backing, self.mnt):
            os.makedirs(path)
        with open(self.key, "w", encoding="ascii") as file:
            file.write(PASSPHRASE)
        self.init()
        self.mount()

    def init(self):
        pass

    def mount(self):
        self.mnt = self.backing

    def unmount(self):
        pass

    def remount(self):
        self.unmount()
        self.mount()

    def destroy(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class FuseFileSystem(FileSystem):
    """A daemon that stays in the foreground and is ours to end."""

    stdin = b""

    def __init__(self, folder, bin_dir):
        super().__init__(folder, bin_dir)
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def version(self):
        result = subprocess.run([self.program, "--version"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=10, check=False)
        found = re.search(r"\d+(\.\d+)+", result.stdout.decode(errors="replace"))
        return found.group() if found else "unknown"

    def mount(self):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.PIPE, stdout=log, stderr=log,
                env=dict(os.environ, **self.environment()), start_new_session=True)
        self.process.stdin.write(self.stdin)
        self.process.stdin.close()
        until = time.monotonic() + MOUNT_TIMEOUT
        while not connection_of(self.mnt):
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}: "
                             + read(os.path.join(self.folder, "log")).strip()[-200:])
            if time.monotonic() > until:
                raise Failed(f"{self.name} did not mount in {MOUNT_TIMEOUT} s")
            time.sleep(0.01)
        self.pids = [self.process.pid]

    def unmount(self):
        tool = shutil.which("fusermount3") or shutil.which("fusermount") or "umount"
        try:
            run([tool, self.mnt] if tool == "umount" else [tool, "-u", self.mnt],
                MOUNT_TIMEOUT)
            self.process.wait(MOUNT_TIMEOUT)
        except (Failed, subprocess.TimeoutExpired):
            self.abort()
        self.pids = []

    def abort(self):
        """Whatever sleeps in this mount fails, and the mount goes."""
        number = connection_of(self.mnt)
        if number:
            try:
                with open(f"/sys/fs/fuse/connections/{number}/abort", "w",
                          encoding="ascii") as file:
                    file.write("1")
            except OSError:
                pass
        if self.process and self.process.poll() is None:
            kill_group(self.process)
        for command in (["fusermount3", "-u", "-z"], ["umount", "-l"]):
            if connection_of(self.mnt) and shutil.which(command[0]):
                try:
                    run(command + [self.mnt], 10)
                except Failed:
                    pass

    def destroy(self):
        if connection_of(self.mnt):
            self.unmount()
        if self.process and self.process.poll() is None:
            kill_group(self.process)
        super().destroy()


class Passthrough(FuseFileSystem):
    """Plain FUSE without encryption (bench/passthrough.c)."""

    name = "passthrough"

    def version(self):
        return subprocess.run(["fusermount3", "--version"], capture_output=True,
                              check=False).stdout.decode().strip().rpartition(" ")[2]

    def command(self):
        return [os.path.join(self.bin, "../bench/passthrough"), self.backing, self.mnt]


class Hsmfs(FuseFileSystem):
    """Two daemons, hsmfs and hsmd, started by hsmsetup in folders of their own."""

    name = "hsmfs"
    options = "rw"

    @classmethod
    def installed(cls, bin_dir):
        return os.path.exists(os.path.join(bin_dir, "hsmsetup"))

    def setup(self, *words):
        return run([os.path.join(self.bin, "hsmsetup"), *words], MOUNT_TIMEOUT,
                   env=self.environment())

    def environment(self):
        return {"HSMFS_RUNTIME_DIR": os.path.join(self.folder, "run"),
                "HSMFS_STATE_DIR": os.path.join(self.folder, "state")}

    def version(self):
        return self.setup("--version").split()[-1]

    def init(self):
        self.setup("luksFormat", "--key-file", self.key, "-q", "--no-recovery",
                   "--pbkdf-force-iterations", "4", "--pbkdf-memory", "65536",
                   "--pbkdf-parallel", "1", self.backing)

    def status(self):
        return json.loads(self.setup("status", "--json", self.mnt))

    def mount(self):
        self.setup("open", "--key-file", self.key, "-o", self.options,
                   self.backing, self.mnt)
        status = self.status()
        self.pids = [status["hsmfs_pid"], status["hsmd_pid"]]

    def unmount(self):
        server = self.pids[0] if self.pids else 0
        try:
            self.setup("close", self.mnt)
        except Failed:
            self.abort()
        if server:
            wait_gone(server, 10)

    def abort(self):
        super().abort()
        for pid, name in zip(self.pids, ("hsmfs", "hsmd")):
            stop(pid, name)

    def destroy(self):
        pids = self.pids
        super().destroy()
        for pid, name in zip(pids, ("hsmfs", "hsmd")):
            stop(pid, name)


class HsmfsDirect(Hsmfs):
    """Past the kernel's page cache."""

    name, options = "hsmfs-direct", "direct_io"


class HsmfsThrough(Hsmfs):
    """Whose writes the kernel does not hold back."""

    name, options = "hsmfs-through", "cache=writethrough"


class HsmfsNoPoll(Hsmfs):
    """Whose daemons never look for work before they sleep."""

    name, options = "hsmfs-nopoll", "poll=off"


class HsmfsWorkers(Hsmfs):
    """Two receive at once, however few the cores."""

    name, options = "hsmfs-workers2", "workers=2"


class HsmfsVariant(Hsmfs):
    """With other programs, which are not for use (bench/README.md)."""

    folder_name = None

    def __init__(self, folder, bin_dir):
        super().__init__(folder, self.programs(bin_dir))

    @classmethod
    def programs(cls, bin_dir):
        return os.path.join(bin_dir, "../bench", cls.folder_name)

    @classmethod
    def installed(cls, bin_dir):
        return super().installed(cls.programs(bin_dir))


class HsmfsNull(HsmfsVariant):
    """hsmd copies pages instead of encrypting them."""

    name, folder_name = "hsmfs-null", "null"


class HsmfsInprocess(HsmfsVariant):
    """hsmfs has the keys, and the HSM's code."""

    name, folder_name = "hsmfs-inprocess", "inprocess"


class Gocryptfs(FuseFileSystem):
    name = program = "gocryptfs"

    def init(self):
        run(["gocryptfs", "-init", "-q", "-scryptn", "10", "-passfile", self.key,
             self.backing], MOUNT_TIMEOUT)

    def command(self):
        return ["gocryptfs", "-fg", "-q", "-nosyslog", "-passfile", self.key,
                self.backing, self.mnt]


class Securefs(FuseFileSystem):
    name = program = "securefs"

    def version(self):
        out = run(["securefs", "version"], 10)
        found = re.search(r"\d+(\.\d+)+", out)
        return found.group() if found else "unknown"

    def init(self):
        run(["securefs", "create", "--pass", PASSPHRASE, "-r", "1", self.backing],
            MOUNT_TIMEOUT)

    def command(self):
        return ["securefs", "mount", "--pass", PASSPHRASE, self.backing, self.mnt]


class Encfs(FuseFileSystem):
    name = program = "encfs"
    stdin = PASSPHRASE.encode() + b"\n"

    def command(self):
        return ["encfs", "-f", "--standard", "-S", self.backing, self.mnt]


class Cryfs(FuseFileSystem):
    name = program = "cryfs"
    stdin = PASSPHRASE.encode() + b"\n"

    def environment(self):
        return {"CRYFS_FRONTEND": "noninteractive", "CRYFS_NO_UPDATE_CHECK": "true",
                "CRYFS_LOCAL_STATE_DIR": os.path.join(self.folder, "state")}

    def command(self):
        return ["cryfs", "-f", self.backing, self.mnt]


ALL = (FileSystem, Passthrough, Hsmfs, HsmfsDirect, HsmfsThrough, HsmfsNoPoll, HsmfsWorkers,
       HsmfsNull, HsmfsInprocess, Gocryptfs, Securefs, Encfs, Cryfs)
