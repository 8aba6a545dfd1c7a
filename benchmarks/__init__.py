"""What picobridge can do on this machine, as ratios within one run; see `benchmarks/README.md`."""
