"""The pages of `docs/reference`, made out of the code: `make reference` writes them, a test holds them to it."""
