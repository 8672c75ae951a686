"""What models that start from pretrained weights share: a repository of the hub as a folder, and transformers kept quiet.

It knows nothing about what the weights are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard import downloads
from modelyard.errors import MissingDownload, MissingExtra


def snapshot(name: str, files: Sequence[str], *, what: str, extra: str, cure: str) -> Path:
    """The hub's snapshot of a repository: from the local cache, or fetched where `downloads` allows it.

    `files` are patterns: never a pickle, never code. MissingDownload says `what` is missing and its `cure`.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtra(what, extra) from None
    forbidden = downloads.forbidden()
    try:
        return Path(snapshot_download(name, allow_patterns=list(files), local_files_only=True))
    except (OSError, ValueError):
        if forbidden:
            raise MissingDownload(
                f"{what} is not on this machine and may not be fetched ({forbidden}). {cure}"
            ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except Exception as error:  # the hub's client raises many kinds: no network, no such repository, no right
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingDownload(
            f"{what} could not be fetched: {reason.removeprefix('Got: ').rstrip('.')}. {cure}"
        ) from None


class quiet:
    """No progress bars or warnings of transformers while weights are loaded; the library never prints."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.level = logging.get_verbosity()
        self.bars = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *ignored: Any) -> None:
        from transformers.utils import logging

        logging.set_verbosity(self.level)
        if self.bars:
            logging.enable_progress_bar()
