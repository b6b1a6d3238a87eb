"""Mounts, made by the kernel calls themselves: a helper process would take longer than they do."""

from __future__ import annotations

import ctypes
import os

from weft.tools.sandbox.kernel import LIBC, checked

__all__ = ["SeenWorkspace", "allow_writes", "forbid_writes", "mount", "unmount"]

SEEN_WORKSPACE = "/tmp/ws"
"""Where root's launcher mounts the workspace, in a mount namespace that ends with it."""
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT = 1, 2, 4, 32
MS_REC, MS_PRIVATE = 16384, 1 << 18
MNT_DETACH = 2
OPEN_TREE, MOVE_MOUNT = 428, 429
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2). Raises OSError."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    checked(result, f"mount {target}")


def unmount(target: str) -> None:
    """Take a mount away at once; what still has files open there keeps them. Raises OSError."""
    checked(LIBC.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def forbid_writes(target: str) -> None:
    """Make a mounted file system read-only, wherever else it is mounted too.

    Raises OSError (EBUSY) while any process has a file there open for writing.
    """
    mount("none", target, None, MS_REMOUNT | MS_RDONLY)


def allow_writes(target: str) -> None:
    """Undo ``forbid_writes``. Raises OSError."""
    mount("none", target, None, MS_REMOUNT)


class SeenWorkspace:
    """Where a launcher reaches the workspace, whatever guards the folders above it.

    As root that is a mount in a namespace of this process; where such cannot be had, and for any
    other user, the workspace itself. ``runner`` is the process that named it: the folder is
    looked for as that process sees it now, for it may have mounted something else there since.
    """

    def __init__(self, workspace: str, runner: int, uid: int | None) -> None:
        self._source = workspace
        self._shown: tuple[int, int] | None = None
        self.path = workspace
        self._prefix = ""
        if uid is not None:
            outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            if LIBC.unshare(CLONE_NEWNS) != 0:
                os.close(outside)
                return
            mount("none", "/", None, MS_REC | MS_PRIVATE)
            mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k")
            os.mkdir(SEEN_WORKSPACE)
            inside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            root = os.open("/", os.O_PATH | os.O_CLOEXEC)
            self._spaces = (outside, inside, root)
            self.path, self._prefix = SEEN_WORKSPACE, f"/proc/{runner}/root"
        self.refresh()

    def refresh(self) -> None:
        """Show what is at the workspace's path now. Raises OSError where that is no folder."""
        folder = os.open(f"{self._prefix}{self._source}", os.O_PATH | FOLDER)
        try:
            state = os.fstat(folder)
            if self._prefix and self._shown != (state.st_dev, state.st_ino):
                self._show(folder)
                self._shown = (state.st_dev, state.st_ino)
        finally:
            os.close(folder)

    def _show(self, folder: int) -> None:
        if self._shown is not None:
            unmount(SEEN_WORKSPACE)
        tree = self._clone(folder)
        try:
            flags = ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH)
            place = SEEN_WORKSPACE.encode()
            checked(LIBC.syscall(MOVE_MOUNT, tree, b"", AT_FDCWD, place, flags), "move_mount")
        finally:
            os.close(tree)

    def _clone(self, folder: int) -> int:
        """The folder as a mount that is nowhere yet: only its own namespace gives such out."""
        outside, inside, root = self._spaces
        checked(LIBC.setns(outside, CLONE_NEWNS), "setns")
        try:
            flags = ctypes.c_uint(OPEN_TREE_CLONE | AT_EMPTY_PATH | os.O_CLOEXEC)
            return checked(LIBC.syscall(OPEN_TREE, folder, b"", flags), "open_tree")
        finally:
            checked(LIBC.setns(inside, CLONE_NEWNS), "setns")
            # Entering a namespace leads to its top, which need not be this process's root.
            os.fchdir(root)
            os.chroot(".")
            os.chdir("/")

    def open(self, path: str | None) -> int:
        """A descriptor of the workspace, or of another folder of the runner's."""
        target = self.path if path is None else f"{self._prefix}{path}"
        return os.open(target, os.O_RDONLY | FOLDER)
