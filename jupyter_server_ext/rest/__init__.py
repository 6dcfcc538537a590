"""Every path as plain functions on the gateway, for whichever server answers them."""
