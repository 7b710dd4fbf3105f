"""What is lost when things fail: kills, closed and full streams, full disks, damaged files."""
