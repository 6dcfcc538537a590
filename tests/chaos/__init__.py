"""Conversations go on while gateways, stores and readers are broken; then every one of them is checked."""
