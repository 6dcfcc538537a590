"""Where conversations, cooldowns and counters are kept: a back end a file, one protocol."""
