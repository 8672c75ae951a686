"""One program a contender. Each runs in an environment of its own and speaks the protocol of `_talk`."""
