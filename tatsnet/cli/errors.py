"""What the user can mend."""


class CommandError(Exception):
    """A command that cannot do what was asked: the message says what was wrong, where, and what to do."""
