"""``jupyter warp init``."""
