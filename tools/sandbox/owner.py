"""The unprivileged user whom root lets commands run as."""

from __future__ import annotations

import os
from pathlib import Path

from weft.errors import InvalidRequest

__all__ = ["hand_over", "session_uid"]

FIRST_UID, NUM_UIDS = 61184, 4336
"""The range that Linux distributions keep free for users made on the fly."""


def session_uid(workspace: Path) -> int | None:
    """The user for a workspace, the same each time; None where this process is not root's.

    Such a user owns nothing else, and two workspaces seldom share one by chance.
    """
    if os.geteuid() != 0:
        return None
    state = workspace.stat()
    if FIRST_UID <= state.st_uid < FIRST_UID + NUM_UIDS:
        return state.st_uid
    return FIRST_UID + state.st_ino % NUM_UIDS


def hand_over(workspace: Path, uid: int) -> None:
    """Make ``uid`` the owner of the workspace and of all in it, following no link.

    What is its own already stays untouched: on an overlay, touching is copying. Raises
    InvalidRequest where folders are nested too deeply to be walked.
    """
    try:
        _hand_over(workspace, uid)
    except RecursionError:
        raise InvalidRequest(
            f"The folders in the workspace {str(workspace)!r} are nested too deeply.",
            remedy="Remove them, or take another workspace.",
        ) from None


def _hand_over(workspace: Path, uid: int) -> None:
    for _, folders, files, folder in os.fwalk(workspace, follow_symlinks=False):
        if os.fstat(folder).st_uid != uid:
            os.chown(folder, uid, uid)
        for name in (*folders, *files):
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid != uid:
                os.chown(name, uid, uid, dir_fd=folder, follow_symlinks=False)
