"""The conformance suite against the real instruments of a configuration: `make hil RIG=lab.toml`."""
