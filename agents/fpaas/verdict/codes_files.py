"""Codes of files that are missing, torn, changed or misplaced: they make a run invalid."""

from __future__ import annotations

from fpaas.verdict.code import COLLECT_AGAIN, INVALID, LOGS, Code

_FILE = {"file": "its name"}
_WRONG = {**_FILE, "what": "what is wrong with it"}

CODES: dict[str, Code] = {
    "host_missing": Code(
        INVALID,
        "nothing was fetched from this host; its part of the run is missing",
        "The bundle has no directory for this host: the host was lost or could not be reached.",
        COLLECT_AGAIN,
    ),
    "file_missing": Code(
        INVALID,
        "{file}: is missing",
        "A part of the run did not leave a file that it should have.",
        COLLECT_AGAIN,
        _FILE,
    ),
    "file_torn": Code(
        INVALID,
        "{file}: {what}",
        "A file is incomplete or empty: its writer was killed, or a disk was full.",
        "Look for a full disk on that host, and run again.",
        _WRONG,
    ),
    "file_unreadable": Code(
        INVALID,
        "{file}: {what}",
        "A file has unexpected content: it was changed by hand, comes from another version, or is "
        "damaged.",
        "Copy the bundle again, or use `fpaas report` of the version that made it.",
        _WRONG,
    ),
    "file_changed": Code(
        INVALID,
        "{file}: {what}",
        "A file differs from what its host sealed: it was changed, cut short or lost, in transfer "
        "or later.",
        "Copy the bundle again from the machine that made it.",
        {"file": "path on its host", "what": "how it differs"},
    ),
    "file_misplaced": Code(
        INVALID,
        "{file}: {what}",
        "A file says that it is of another run, host or process, or a host's agents played another "
        "run.json than the bundle's: files of several runs or hosts were mixed, or one was edited.",
        "Copy the bundle again from the machine that made it.",
        {"file": "its name", "what": "whose it is, or how it differs"},
    ),
    "shuffler_account_cut": Code(
        INVALID,
        "{file}: is the shuffler's last checkpoint, from seconds before its end",
        "The shuffler was killed. The stream shows what it published after its last checkpoint.",
        LOGS,
        _FILE,
    ),
    "relay_account_cut": Code(
        INVALID,
        "{file}: is the relay's last checkpoint, from up to a second before its end",
        "The relay was killed, or could not write its last account. Frames that were read from it "
        "after the checkpoint count as offered.",
        LOGS,
        _FILE,
    ),
    "worker_account_cut": Code(
        INVALID,
        "{file}: is the worker's last checkpoint; its last second is missing",
        "The worker was killed, or could not write its last account.",
        LOGS,
        _FILE,
    ),
    "consumers_missing": Code(
        INVALID,
        "consumers-*.json: {missing} of the host's {count} {count:consumer|consumers} "
        "{missing:is|are} in "
        "none",
        "Some consumers have no account: their worker never started, or its files are gone.",
        LOGS,
        {"missing": "consumers", "count": "consumers"},
    ),
    "more_problems": Code(
        INVALID,
        "and {count} more {count:problem|problems} with the run's files",
        "The bundle has more problems than are listed here; manifest.json lists all.",
        COLLECT_AGAIN,
        {"count": "problems"},
    ),
}
