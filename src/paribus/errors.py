"""Define the errors that a user can mend, and suggest names."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something outside the code is wrong, and the message says what and how to mend it.

    It is shown as it stands, without a traceback.
    """


def unknown_name(name: object, where: str, valid: Iterable[object]) -> UserError:
    """The error for a name that does not exist `where`: says the valid ones, and the one that was probably meant."""
    names = [str(v) for v in valid]
    folded = {v.casefold(): v for v in names if v != str(name)}
    typed = str(name).casefold()
    meant = [folded[v] for v in get_close_matches(typed, folded, n=1)]
    if not meant:  # cosine_annealing for cosine, torch.optim.Adam for adam
        meant = [folded[v] for v in sorted(folded, key=len, reverse=True) if len(v) > 2 and v in typed][:1]
    hint = f" Did you mean {meant[0]!r}?" if meant else ""
    return UserError(f"There is no {str(name)!r} in {where}.{hint} Valid: {', '.join(names) or 'none'}.")


def summarise_error(error: BaseException) -> str:
    """Return the first line of what an error says; its type, where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Paused(Exception):
    """The end of a run's part that it was to train now; `pause` names its last epoch."""


class Stopped(Exception):
    """The end of a run that somebody has asked to stop. It can be resumed."""


class RunFailed(Exception):
    """A run failed, and its log and the terminal say why already."""


class RunRefused(RunFailed):
    """A run was refused before it had trained an epoch: a user's mistake, not a fault of the program."""
