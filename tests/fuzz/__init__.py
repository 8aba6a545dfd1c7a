"""Fuzzing of every parser of bytes from outside; `docs/fuzzing.md` says how it is run."""
