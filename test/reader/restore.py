"""Restoring a snapshot into an empty directory (README.md); open directories instead of long paths."""

import os
import stat

from errors import Damage, Usage
from tree import BLOCK, CHARACTER, DIRECTORY, FIFO, IMAGE, REGULAR, SOCKET, SYMLINK

DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SPECIAL = {FIFO: stat.S_IFIFO, SOCKET: stat.S_IFSOCK, CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK}


class Restore:
    def __init__(self, tree, target, say):
        self.tree, self.say, self.bad, self.failed = tree, say, 0, 0
        self.root = os.geteuid() == 0
        self.links = {}  # link id: path parts of the first one, or None when that was not restored
        try:
            if not os.path.lexists(target):
                os.mkdir(target, 0o700)
            elif os.listdir(target):
                raise Usage("the target is not empty")
        except (NotADirectoryError, FileNotFoundError) as error:
            raise Usage("the target cannot be used: %s" % error) from None
        self.top = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def run(self):
        """Restore everything; `bad` counts entries that are damaged, `failed` those refused by the system."""
        here, depth = os.dup(self.top), 0
        for event, parts, entry in self.tree.walk():
            if event == "leave":
                if depth:
                    above = os.open("..", DIR_FLAGS, dir_fd=here)
                    os.close(here)
                    here, depth = above, depth - 1
                    self._guard(parts, self._metadata, here, entry)
                continue
            if entry.kind == DIRECTORY:
                os.mkdir(entry.name, 0o700, dir_fd=here)
                below = os.open(entry.name, DIR_FLAGS, dir_fd=here)
                os.close(here)
                here, depth = below, depth + 1
                continue
            self._guard(parts, self._entry, here, parts, entry)
        os.close(here)

    def _guard(self, parts, function, *args):
        """Go on behind an entry that cannot be restored."""
        try:
            function(*args)
        except Damage as error:
            self.bad += 1
            self.say("/%s: %s" % (os.fsdecode(b"/".join(parts)), error))
        except (OSError, OverflowError) as error:
            self.failed += 1
            self.say("/%s: %s" % (os.fsdecode(b"/".join(parts)), error))

    def _entry(self, here, parts, entry):
        if entry.link is not None and entry.link in self.links:
            first = self.links[entry.link]
            if first is None:
                self.say("%s: a link of what was not restored" % os.fsdecode(entry.name))
                return
            folder = self._reopen(first[:-1])
            try:
                os.link(first[-1], entry.name, src_dir_fd=folder, dst_dir_fd=here, follow_symlinks=False)
            finally:
                os.close(folder)
            return
        if entry.link is not None:
            self.links[entry.link] = None
        if not self._make(here, entry):
            return
        self._metadata(here, entry)
        if entry.link is not None:
            self.links[entry.link] = parts

    def _reopen(self, parts):
        here = os.dup(self.top)
        for part in parts:
            below = os.open(part, DIR_FLAGS, dir_fd=here)
            os.close(here)
            here = below
        return here

    def _make(self, here, entry):
        """Make the entry; False when it is passed over."""
        if entry.kind in (REGULAR, IMAGE):
            self._file(here, entry)
        elif entry.kind == SYMLINK:
            os.symlink(entry.target, entry.name, dir_fd=here)
        else:
            device = 0
            if entry.kind in (CHARACTER, BLOCK):
                device = os.makedev(entry.major, entry.minor)
                if not self.root:
                    self.say("%s: a device, passed over" % os.fsdecode(entry.name))
                    return False
            try:
                os.mknod(entry.name, SPECIAL[entry.kind] | 0o600, device, dir_fd=here)
            except PermissionError as error:
                self.say("%s: %s" % (os.fsdecode(entry.name), error))
                return False
        return True

    def _file(self, here, entry):
        fd = os.open(entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                     dir_fd=here)
        try:
            with os.fdopen(fd, "wb") as file:
                for length, data in self.tree.content(entry):
                    if data is None:
                        file.seek(length, os.SEEK_CUR)
                    else:
                        file.write(data)
                file.truncate(entry.size)
        except Damage:
            os.unlink(entry.name, dir_fd=here)  # nothing that depends on damage is returned
            raise

    def _metadata(self, here, entry):
        """Owner, xattrs, mode and times, in the order in which one does not undo the other."""
        plain = entry.kind != SYMLINK
        if self.root:
            os.chown(entry.name, entry.uid, entry.gid, dir_fd=here, follow_symlinks=False)
        path = b"/proc/self/fd/%d/%s" % (here, entry.name)
        for name, content in entry.xattrs:
            value = self.tree.xattr(content)
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except OSError as error:
                self.say("%s: xattr %s: %s" % (os.fsdecode(entry.name), os.fsdecode(name), error))
        if plain:
            os.chmod(entry.name, entry.mode, dir_fd=here)
        seconds, nanoseconds = entry.mtime
        stamp = seconds * 10**9 + nanoseconds
        os.utime(entry.name, ns=(stamp, stamp), dir_fd=here, follow_symlinks=False)
