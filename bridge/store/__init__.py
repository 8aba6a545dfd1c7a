"""What the daemon must remember over a restart and a crash, in one SQLite file."""
