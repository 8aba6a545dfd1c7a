"""What a driver of each interface must do, as one suite for every driver, on mocks and on real instruments."""
