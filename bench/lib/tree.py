# SPDX-License-Identifier: Apache-2.0
"""The files that tree workloads work on."""

import os
import subprocess


def make_tarball(path, files):
    """The first regular files below /usr/include, by name."""
    found = []
    for folder, folders, names in os.walk("/usr/include"):
        folders.sort()
        found += [os.path.join(folder, name) for name in sorted(names)
                  if os.path.isfile(os.path.join(folder, name))
                  and not os.path.islink(os.path.join(folder, name))]
        if len(found) >= files:
            break
    found = found[:files]
    subprocess.run(["tar", "cf", path, "-C", "/", "--null", "-T", "-"], check=True,
                   input="\0".join(name[1:] for name in found).encode())
    return len(found)
