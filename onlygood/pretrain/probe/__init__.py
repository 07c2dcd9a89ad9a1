"""What a frozen encoder has learned: probes that train little or nothing on top of it."""
