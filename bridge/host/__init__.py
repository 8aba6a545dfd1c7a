"""What picobridge puts on a lab PC: udev rules, the systemd unit, its user; planned, shown, done, undone."""
