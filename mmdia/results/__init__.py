"""What the papers print, what was trained here, and how the two compare."""
