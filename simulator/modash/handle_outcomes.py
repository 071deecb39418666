"""What becomes of a request for a creator, by how the handle begins: missing, removed, private."""

from collections.abc import Mapping

from simulator.modash.errors import ModashError

OUTCOMES: Mapping[str, ModashError] = {
    "missing.": ModashError(404, "handle_not_found", "No public account was found for this handle."),
    "absent.": ModashError(404, "account_not_found", "This account does not exist."),
    "removed.": ModashError(404, "account_removed", "This account was removed."),
    "private.": ModashError(400, "private_account", "This account is private."),
}
