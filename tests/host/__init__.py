"""What picobridge puts on a lab PC, on emulated devices and in folders of the tests."""
